package stdlib

import _ "embed"

//go:embed embed/linux_arm64.zip
var platform string
