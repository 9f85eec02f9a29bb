// Package stdlib is what interpreted modules may import: the standard library of the Go that coma is built with, and
// coma's own packages, compiled into the coma binary.
//
// It offers the same packages in three forms. Import gives a package's declarations, to type-check against; Symbols its
// functions, variables and types as values, to run. Generics are neither: they come as source, for the interpreter to
// run itself. Generic types with methods are a part of their package from the start, and Source has their syntax; generic
// functions of all other packages are added for each program, no more of them than it uses, by Redirect.
//
// Read import.go, then symbols.go, then generic.go. Everything is made by the command gen; go generate runs it, after a
// change of Go or of what modules see of package coma. Nothing is read, unpacked or set up before somebody asks for it.
package stdlib

//go:generate go run ./gen

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

const native = "github.com/concurrent-modular-agent/coma/internal/stdlib/native"

// Packages returns the import paths that Import knows, sorted. Callers do not change the list.
func Packages() []string { return packages() }

var packages = sync.OnceValue(func() []string {
	paths := []string{"unsafe"}
	for name := range archive() {
		if path, ok := strings.CutPrefix(name, "export/"); ok && path != native {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
})

// Unsupported returns the names of the standard library that modules cannot use although their package is there, as
// "database/sql.Null", each with the reason, sorted.
func Unsupported() []Missing {
	return []Missing{{
		Path: "database/sql", Name: "Null",
		Reason: "its methods convert values in ways that only compiled code of package sql can",
	}}
}

// Absent returns the packages of the standard library that modules cannot import, each with the reason, sorted.
func Absent() []Missing {
	return slices.SortedFunc(slices.Values([]Missing{
		{Path: "expvar", Reason: "its import alone adds a page to every HTTP server of the process"},
		{Path: "net/http/pprof", Reason: "its import alone adds pages to every HTTP server of the process"},
		{Path: "plugin", Reason: "it needs cgo"},
		{Path: "runtime/cgo", Reason: "it needs cgo"},
		{Path: "runtime/coverage", Reason: "it needs a program built for coverage"},
		{Path: "runtime/race", Reason: "it needs a program built for race detection"},
		{Path: "time/tzdata", Reason: "its import alone changes which time zones the process finds"},
		{Path: "crypto/mlkem/mlkemtest", Reason: "it is for tests"},
		{Path: "testing/cryptotest", Reason: "it is for tests"},
		{Path: "testing/synctest", Reason: "it is for tests"},
	}), func(a, b Missing) int { return cmp.Compare(a.Path, b.Path) })
}

// A Missing is a package, or a name in it, that modules cannot use, and why.
type Missing struct {
	Path, Name string // Name is empty for a package
	Reason     string
}
