package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A world is what a program for one platform can import.
type world struct {
	platform platform
	fset     *token.FileSet
	packages map[string]*source
	offered  []string // paths that modules can import, and native; sorted as go list does
}

// A source is one package as go list describes it, and its declarations.
type source struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string

	files []*ast.File
	types *types.Package
}

// load reads the declarations, not the bodies, of all packages that modules can import and of those that they need.
// It works from source and without cgo, so that all platforms can be had on any.
func load(p platform) (*world, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap", "std", coma, coma+"/llm", native)
	cmd.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run go list: %w", err)
	}
	w := &world{platform: p, fset: token.NewFileSet(), packages: map[string]*source{}}
	for decoder := json.NewDecoder(stdout); ; {
		s := new(source)
		if err := decoder.Decode(s); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		w.packages[s.ImportPath] = s
		if s.ImportPath == coma || s.ImportPath == coma+"/llm" || s.ImportPath == native ||
			standard(s.ImportPath) && !absent(s.ImportPath) {
			w.offered = append(w.offered, s.ImportPath)
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("run go list: %w", err)
	}
	for _, path := range w.offered {
		if _, err := w.check(path); err != nil {
			return nil, err
		}
	}
	// Last, since the size of a type depends on others.
	sizes := types.SizesFor("gc", p.arch)
	for _, s := range w.packages {
		if s.types != nil {
			hideFields(s.types, sizes)
		}
	}
	return w, nil
}

// standard tells whether a path is of the standard library: those have no dot in their first element.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// check type-checks a package and what it imports, once.
func (w *world) check(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	s := w.packages[path]
	if s == nil {
		return nil, fmt.Errorf("package %s is not listed", path)
	}
	if s.types != nil {
		return s.types, nil
	}
	for _, name := range s.GoFiles {
		file, err := parser.ParseFile(w.fset, filepath.Join(s.Dir, name), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, file)
	}
	withoutPrivate(s.files)
	if err := w.checkFiles(s); err != nil {
		return nil, err
	}
	return s.types, nil
}

// checkFiles type-checks the files of s.
func (w *world) checkFiles(s *source) error {
	config := types.Config{
		IgnoreFuncBodies: true,
		GoVersion:        goVersion(),
		Sizes:            types.SizesFor("gc", w.platform.arch),
		Importer: importer(func(path string) (*types.Package, error) {
			if mapped := s.ImportMap[path]; mapped != "" {
				path = mapped
			}
			return w.check(path)
		}),
	}
	var wrong error
	config.Error = func(err error) {
		var e types.Error
		if errors.As(err, &e) && e.Soft {
			return // an import that only bodies use
		}
		wrong = cmp.Or(wrong, err)
	}
	s.types, _ = config.Check(s.ImportPath, w.fset, s.files, nil) // its error is the first that Error was told
	if wrong != nil {
		return fmt.Errorf("check %s for %s: %w", s.ImportPath, w.platform, wrong)
	}
	return nil
}

type importer func(path string) (*types.Package, error)

func (f importer) Import(path string) (*types.Package, error) { return f(path) }

// goVersion is the language that the toolchain in use speaks: "go1.26".
func goVersion() string {
	parts := strings.SplitN(strings.Fields(runtime.Version())[0], ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
