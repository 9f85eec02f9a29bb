package stdlib

import _ "embed"

//go:embed embed/darwin_amd64.zip
var platform string
