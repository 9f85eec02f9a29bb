package stdlib

import _ "embed"

//go:embed embed/linux_amd64.zip
var platform string
