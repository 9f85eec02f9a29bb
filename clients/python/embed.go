// Package python carries coma.py, the client library for modules written in Python, into the binary: so that "import
// coma" works in a module with nothing installed. Read coma.py; README.md is for those who use it.
package python

import "embed"

// Files holds coma.py alone.
//
//go:embed coma.py
var Files embed.FS
