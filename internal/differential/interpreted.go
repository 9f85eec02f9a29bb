package differential

import (
	"fmt"
	"go/token"
	"path"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/check"
	"github.com/concurrent-modular-agent/coma/internal/interp"
)

// interpreted loads a program into the interpreter, with its variables initialised and its init functions run, and
// returns its Main.
func interpreted(p Program) (main func() string, err error) {
	fset := token.NewFileSet()
	packages, refused := parse(fset, p)
	if len(refused) > 0 {
		return nil, told(fset, refused)
	}
	checked, refused := check.Check(fset, packages)
	if len(refused) > 0 {
		return nil, told(fset, refused)
	}
	if refused := check.Refused(fset, checked); len(refused) > 0 {
		return nil, told(fset, refused)
	}
	program, err := interp.Load(fset, checked, interp.Options{})
	if err != nil {
		return nil, &refusal{err.Error()}
	}
	program.Init()
	main, ok := program.Lookup(p.Path(), "Main").Interface().(func() string)
	if !ok {
		return nil, &refusal{"it has no func Main() string"}
	}
	return main, nil
}

// parse reads the files that go build would compile, package by package.
func parse(fset *token.FileSet, p Program) (packages []check.Package, wrong []check.Error) {
	at := map[string]int{} // import path → place in packages
	for _, name := range p.fileNames() {
		text := []byte(p.Files[name])
		if outside(name) {
			continue
		}
		if included, err := check.Included(name, text); err != nil || !included {
			continue // what cannot be read does not compile either, and then something is missing
		}
		file, errs := check.Parse(fset, p.Name+"/"+name, text)
		wrong = append(wrong, errs...)
		if file == nil {
			continue
		}
		importPath := path.Join(p.Path(), path.Dir(name))
		i, ok := at[importPath]
		if !ok {
			i = len(packages)
			at[importPath] = i
			packages = append(packages, check.Package{Path: importPath, Name: file.Name.Name})
		}
		packages[i].Files = append(packages[i].Files, file)
	}
	return packages, wrong
}

// outside tells whether the go command passes over the folder of a file.
func outside(name string) bool {
	for _, element := range strings.Split(path.Dir(name), "/") {
		if element == "testdata" || strings.HasPrefix(element, "_") || strings.HasPrefix(element, ".") && element != "." {
			return true
		}
	}
	return false
}

// told is the refusal that the checker's errors make.
func told(fset *token.FileSet, errs []check.Error) error {
	var lines []string
	for _, e := range errs {
		lines = append(lines, fmt.Sprintf("%s: %s", fset.Position(e.Pos), e.Message))
	}
	return &refusal{strings.Join(lines, "\n")}
}
