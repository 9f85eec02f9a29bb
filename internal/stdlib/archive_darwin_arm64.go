package stdlib

import _ "embed"

//go:embed embed/darwin_arm64.zip
var platform string
