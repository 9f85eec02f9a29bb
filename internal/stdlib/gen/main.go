// Command gen makes what package stdlib embeds, from the standard library of the Go toolchain in use and from coma's
// own packages: go generate ./internal/stdlib, after a change of Go or of what modules can see of package coma.
//
// It reads declarations from source, once for each platform (load.go), and writes symbol tables as Go files
// (symbols.go) and an archive for each platform (archive.go). In it are export data without what packages keep to
// themselves (prune.go), the sources of generic types that have methods, and the sources of generic functions
// (generic.go), cut into declarations (cut.go).
//
// Where a generic reaches into the runtime, and where compiled code can do its work unnoticed, its source is ours, in
// the folder replace.
package main

import (
	"flag"
	"fmt"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	coma   = "github.com/concurrent-modular-agent/coma"
	native = coma + "/internal/stdlib/native"
)

// platforms are what coma is built for.
var platforms = []platform{
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"linux", "amd64"},
	{"linux", "arm64"},
}

// A platform is what a build is for, as GOOS and GOARCH say.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

// absent tells whether modules cannot import a package of the standard library. Package stdlib says why, in Absent.
func absent(path string) bool {
	switch path {
	case "unsafe": // they can, but there is nothing to embed
		return true
	case "crypto/mlkem/mlkemtest", "expvar", "net/http/pprof", "plugin", "runtime/cgo", "runtime/coverage", "runtime/race",
		"testing/cryptotest", "testing/synctest", "time/tzdata":
		return true
	}
	return strings.HasPrefix(path, "vendor/") || slices.Contains(strings.Split(path, "/"), "internal")
}

func main() {
	out := flag.String("o", ".", "folder of package stdlib, to write to")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// generate writes everything below the folder out.
func generate(out string) error {
	worlds := make([]*world, len(platforms))
	for i, p := range platforms {
		var err error
		if worlds[i], err = load(p); err != nil {
			return fmt.Errorf("load packages for %s: %w", p, err)
		}
	}
	if err := writeSymbols(filepath.Join(out, "symbols"), worlds); err != nil {
		return fmt.Errorf("write symbols: %w", err)
	}
	return writeArchives(filepath.Join(out, "embed"), worlds)
}

// exported calls visit for the exported objects of a package, sorted by name.
func exported(p *types.Package, visit func(types.Object)) {
	for _, name := range p.Scope().Names() {
		if object := p.Scope().Lookup(name); object.Exported() {
			visit(object)
		}
	}
}
