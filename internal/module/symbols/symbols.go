// Package symbols holds the tables by which interpreted code reaches the packages of this repository that a module may
// import: one generated file a package, each a map of name to value.
//
// To add a package: append its path to the go:generate line, then run go generate ./internal/module/symbols.
package symbols

import "reflect"

//go:generate go run github.com/traefik/yaegi/cmd/yaegi@v0.16.1 extract -name symbols github.com/concurrent-modular-agent/coma github.com/concurrent-modular-agent/coma/llm

// Symbols maps "import/path/name" to the exported names of that package, as yaegi's Use takes them. It is filled by the
// generated files when the program starts and not changed afterwards.
var Symbols = map[string]map[string]reflect.Value{}
