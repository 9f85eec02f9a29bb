package compile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// modulePackage is a module's package as the compiler is to see it.
type modulePackage struct {
	spec       Spec
	dir        string // where the compiler sees it: the module's own folder, or one that is not on disk
	importPath string
	isMain     bool           // the package is named main: it cannot be imported, and gets its func main added
	run        token.Position // of the name Run
}

// wantRun is the function that makes a package a module.
const wantRun = "func Run(ctx context.Context, agent *coma.Agent) error"

// virtualFolder is a folder that is in the overlay alone. It holds the packages that the compiler could not import from
// where they lie: single files, of which several share a folder, and those whose folder's name may not be part of an
// import path. Line directives give their code its true place.
const virtualFolder = "coma.modules"

// newPackage reads what must be known of a module's package before it is compiled, and puts its source and that of the
// project's packages that it imports into the overlay. n tells the modules of one build apart. The error is a
// *modproc.LoadError for source that has no Run.
func (b *build) newPackage(spec Spec, n int) (*modulePackage, error) {
	p := &modulePackage{spec: spec, dir: spec.Dir}
	if err := b.inspect(p); err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(b.requirements.root, spec.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the module's import path: %w", err)
	}
	p.importPath = path.Join(b.requirements.path, filepath.ToSlash(rel))
	if spec.Dir == spec.ProjectDir || !importable(p.importPath) {
		name := "m" + strconv.Itoa(n)
		p.dir = filepath.Join(b.requirements.root, virtualFolder, name)
		p.importPath = path.Join(b.requirements.path, virtualFolder, name)
	}
	return p, nil
}

// inspect parses the module's files as far as it takes to know the package's name and its Run.
func (b *build) inspect(p *modulePackage) error {
	fset := token.NewFileSet()
	var first *ast.File
	hasRun, broken := false, false
	var ownMain token.Pos
	for _, name := range p.spec.GoFiles {
		text, err := p.text(name)
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		broken = broken || err != nil // the compiler says it better
		if file == nil {
			continue
		}
		if first == nil {
			first = file
		}
		p.isMain = p.isMain || file.Name.Name == "main"
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				switch fn.Name.Name {
				case "Run":
					hasRun = true
					p.run = fset.PositionFor(fn.Name.Pos(), false)
				case "main":
					ownMain = fn.Name.Pos()
				}
			}
		}
	}
	switch {
	case first == nil && broken: // the compiler says what is wrong
		return nil
	case first == nil:
		return b.problem(p, token.Position{Filename: p.spec.Dir}, "no Go file to compile")
	case !hasRun && !broken:
		return b.problem(p, fset.Position(first.Name.Pos()), "package %s has no function Run: want %s", first.Name.Name, wantRun)
	case p.isMain && ownMain.IsValid():
		return b.problem(p, fset.Position(ownMain), "a module's package has no func main of its own: name the package otherwise than main, or leave func main out")
	}
	return nil
}

// problem is a *modproc.LoadError with one problem.
func (b *build) problem(p *modulePackage, at token.Position, format string, args ...any) error {
	problem := modproc.Problem{
		File: b.shown(at.Filename), Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...),
		SourceLine: p.sourceLine(at.Filename, at.Line),
	}
	return &modproc.LoadError{Problems: []modproc.Problem{problem}}
}

// text is the content of one of the generation's files.
func (p *modulePackage) text(name string) ([]byte, error) {
	if text, ok := p.spec.Text[name]; ok || p.spec.Text != nil {
		if !ok {
			return nil, fmt.Errorf("open %s: it is not among the texts of this generation", name)
		}
		return []byte(text), nil
	}
	return os.ReadFile(name)
}

// place puts the package's source, and that of the project's packages that it imports, into the overlay.
func (b *build) place(p *modulePackage) error {
	folders := map[string]bool{}
	for name, text := range p.spec.Text {
		if filepath.Dir(name) == p.spec.Dir && p.dir != p.spec.Dir && slices.Contains(p.spec.GoFiles, name) {
			continue // seen in the virtual folder, below
		}
		if err := b.replace(name, []byte(text)); err != nil {
			return err
		}
		folders[filepath.Dir(name)] = true
	}
	// What has been added to those folders since is not of this generation.
	for folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // the whole folder has gone since: the overlay stands for it
		}
		for _, entry := range entries {
			name := filepath.Join(folder, entry.Name())
			if _, known := p.spec.Text[name]; !known && filepath.Ext(name) == ".go" {
				b.overlay[name] = ""
			}
		}
	}
	if p.dir == p.spec.Dir {
		return nil
	}
	for _, name := range p.spec.GoFiles {
		text, err := p.text(name)
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		at := fmt.Appendf(nil, "//line %s:1:1\n", name)
		if err := b.replace(filepath.Join(p.dir, filepath.Base(name)), append(at, text...)); err != nil {
			return err
		}
	}
	return nil
}

// replace lets the compiler see text as the content of a file.
func (b *build) replace(name string, text []byte) error {
	b.texts++
	written := filepath.Join(b.dir, "text"+strconv.Itoa(b.texts)+".go")
	if err := os.WriteFile(written, text, 0o644); err != nil {
		return fmt.Errorf("write build files: %w", err)
	}
	b.overlay[name] = written
	return nil
}

// moduleMain generates the main function of one module's program and returns what go build is to build.
func (b *build) moduleMain(p *modulePackage) (target string, err error) {
	if err := b.place(p); err != nil {
		return "", err
	}
	if p.isMain {
		// A name that sorts last and that nobody has.
		return p.importPath, b.generate(filepath.Join(p.dir, "zz_generated_by_coma.go"), inMain, nil)
	}
	return filepath.Join(b.dir, mainFile), b.generate("", ofModule, p.importPath)
}

// mainFile is the generated main package's file.
const mainFile = "main.go"

var (
	ofModule = template.Must(template.New("").Parse(`// Code generated by coma. DO NOT EDIT.

package main

import (
	"` + comaPath + `/compiled"

	module "{{.}}"
)

func main() { compiled.Main(module.Run) }
`))
	inMain = template.Must(template.New("").Parse(`// Code generated by coma. DO NOT EDIT.

package main

import compiledByComa "` + comaPath + `/compiled"

func main() { compiledByComa.Main(Run) }
`))
)

// generate writes a file from a template: as the build's main package, or where shown is not empty as that file in the
// overlay.
func (b *build) generate(shown string, from *template.Template, data any) error {
	var text bytes.Buffer
	if err := from.Execute(&text, data); err != nil {
		return fmt.Errorf("generate main: %w", err)
	}
	if shown != "" {
		return b.replace(shown, text.Bytes())
	}
	if err := os.WriteFile(filepath.Join(b.dir, mainFile), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write build files: %w", err)
	}
	return nil
}

// writeOverlay writes the file that go build's -overlay names.
func (b *build) writeOverlay() (string, error) {
	if b.requirements.missing {
		b.overlay[filepath.Join(b.requirements.root, goModName)] = b.requirements.modFile
	}
	name := filepath.Join(b.dir, "overlay.json")
	if err := os.WriteFile(name, overlayJSON(b.overlay), 0o644); err != nil {
		return "", fmt.Errorf("write build files: %w", err)
	}
	return name, nil
}

func overlayJSON(replace map[string]string) []byte {
	text, err := json.Marshal(struct{ Replace map[string]string }{replace})
	if err != nil {
		panic(err) // strings always marshal
	}
	return text
}

// sourceLine is a line of one of the generation's files, "" if it is not to be had.
func (p *modulePackage) sourceLine(file string, line int) string {
	text, err := p.text(file)
	if err != nil || line < 1 {
		return ""
	}
	lines := strings.SplitN(string(text), "\n", line+1)
	if len(lines) < line {
		return ""
	}
	return strings.TrimSuffix(modproc.Clipped(lines[line-1], maxSourceLine), "\r")
}

const maxSourceLine = 500 // bytes shown of a line
