package module

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"
)

// LoadError says why code does not load, with all that is known to be wrong.
type LoadError struct {
	Problems []Problem
}

// Error is a line for each problem.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Problem is one thing that is wrong with a module's source.
type Problem struct {
	File       string `json:"file,omitempty"`   // relative to the project, with slashes; "" if unknown
	Line       int    `json:"line,omitempty"`   // from 1; 0 if unknown
	Column     int    `json:"column,omitempty"` // in bytes from 1; 0 if unknown
	Message    string `json:"message"`
	SourceLine string `json:"source_line,omitempty"` // the line's text
}

func (p Problem) String() string {
	if p.File == "" {
		return p.Message
	}
	return token.Position{Filename: p.File, Line: p.Line, Column: p.Column}.String() + ": " + p.Message
}

// Where the interpreter sees things: the module's own package has an import path of its own making, because folder
// names may hold what import paths may not, and a single file shares its folder with others. Shared packages and packages
// below the module's folder keep the paths that they are imported by.
const (
	sourceRoot  = "src"
	modulePath  = "coma.module/main"  // the module's own package
	startPath   = "coma.module/start" // imports it and hands its Run to the host
	controlPath = "coma.module/control"
	comaPath    = "github.com/concurrent-modular-agent/coma"
)

// code is all source of one generation, read once: what is parsed, shown and interpreted is the same text, whatever
// editors do to the files meanwhile. Files are keyed as the interpreter names them (src/<import path>/<file>).
type code struct {
	src      Source
	fset     *token.FileSet
	packages map[string]string // import path to package name, of the project's packages
	files    map[string]*file
	imports  map[string]bool // packages of the host that are imported somewhere
	open     map[string]bool // packages whose imports are being read
	problems []Problem
}

type file struct {
	shown string // relative to the project, with slashes
	data  []byte
	ast   *ast.File
}

// read reads and parses the module's package and, through imports, all packages of the project that it uses.
func read(src Source) (*code, error) {
	c := &code{
		src:      src,
		fset:     token.NewFileSet(),
		packages: map[string]string{},
		files:    map[string]*file{},
		imports:  map[string]bool{},
		open:     map[string]bool{},
	}
	c.readPackage(modulePath, src.GoFiles, "")
	if len(c.problems) == 0 {
		c.checkRun()
	}
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &LoadError{Problems: c.problems}
	}
	return c, nil
}

// readPackage reads the files of one package, then the packages that they import.
func (c *code) readPackage(importPath string, names []string, importedAt string) {
	c.packages[importPath] = ""
	c.open[importPath] = true
	defer delete(c.open, importPath)
	var read []*file
	for _, name := range names {
		f := c.readFile(name)
		if f == nil {
			continue
		}
		c.files[path.Join(sourceRoot, importPath, filepath.Base(name))] = f
		read = append(read, f)
		pkg := f.ast.Name.Name
		switch known := c.packages[importPath]; known {
		case "":
			c.packages[importPath] = pkg
		case pkg:
		default:
			c.problem(f.ast.Name.Pos(), "package %s: the other files of this folder say package %s", pkg, known)
		}
	}
	if len(read) == 0 && len(c.problems) == 0 {
		c.problems = append(c.problems, Problem{
			File:    shownFile(c.src.Dir, c.src.ProjectDir),
			Message: "no Go file to load: files named *_test.go and files with build constraints that do not hold are left out" + importedAt,
		})
	}
	for _, f := range read {
		for _, spec := range f.ast.Imports {
			c.readImport(spec)
		}
	}
}

func (c *code) readImport(spec *ast.ImportSpec) {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		c.problem(spec.Pos(), "import %s: %v", spec.Path.Value, err)
		return
	}
	if available(target) {
		c.imports[target] = true
		return
	}
	if c.open[target] {
		c.problem(spec.Path.Pos(), "import cycle: package %s needs this one", target)
		return
	}
	if _, done := c.packages[target]; done {
		return
	}
	folder, ok := strings.CutPrefix(target, c.src.ModulePath+"/")
	if !ok || c.src.ModulePath == "" {
		c.problem(spec.Path.Pos(), "package %s is not available to interpreted modules", target)
		return
	}
	dir := filepath.Join(c.src.ProjectDir, filepath.FromSlash(folder))
	names, err := c.src.goFiles(dir)
	if err != nil {
		c.problem(spec.Path.Pos(), "import %s: the project has no readable folder %s", target, folder)
		return
	}
	if len(names) == 0 {
		c.problem(spec.Path.Pos(), "import %s: the folder %s holds no Go files", target, folder)
		return
	}
	c.readPackage(target, names, ", in "+folder)
}

// goFiles returns the absolute names of a folder's Go files, sorted.
func (s *Source) goFiles(dir string) ([]string, error) {
	var names []string
	if s.Text != nil {
		for name := range s.Text {
			if filepath.Dir(name) == dir && goFile(filepath.Base(name)) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if goFile(entry.Name()) && !entry.IsDir() {
			names = append(names, filepath.Join(dir, entry.Name()))
		}
	}
	return names, nil
}

func (s *Source) readFile(name string) ([]byte, error) {
	if s.Text == nil {
		return os.ReadFile(name)
	}
	text, ok := s.Text[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

// goFile tells whether go build would look into a file of that name.
func goFile(name string) bool {
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") &&
		!strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "_")
}

// readFile reads and parses one file. It is nil for a file that is left out or wrong.
func (c *code) readFile(name string) *file {
	shown := shownFile(name, c.src.ProjectDir)
	data, err := c.src.readFile(name)
	if err != nil {
		c.problems = append(c.problems, Problem{File: shown, Message: "read file: " + err.Error()})
		return nil
	}
	if ok := goFile(filepath.Base(name)) && c.constraintsHold(name, data); !ok {
		return nil
	}
	f := &file{shown: shown, data: data}
	f.ast, err = parser.ParseFile(c.fset, shown, data, parser.AllErrors|parser.DeclarationErrors)
	if err == nil {
		return f
	}
	list, ok := err.(scanner.ErrorList)
	if !ok {
		c.problems = append(c.problems, Problem{File: shown, Message: err.Error()})
		return nil
	}
	list.RemoveMultiples() // one a line: the others follow from it
	for _, e := range list {
		c.problems = append(c.problems, Problem{
			File: shown, Line: e.Pos.Line, Column: e.Pos.Column, Message: oneLine(e.Msg), SourceLine: sourceLine(data, e.Pos.Line),
		})
	}
	return nil
}

// constraintsHold evaluates //go:build lines and names such as x_windows.go for the machine that this runs on.
func (c *code) constraintsHold(name string, data []byte) bool {
	context := build.Default
	context.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	ok, err := context.MatchFile(filepath.Dir(name), filepath.Base(name))
	return ok || err != nil // an error is one of syntax: the parser reports it better
}

// checkRun looks for Run in the module's package.
func (c *code) checkRun() {
	if c.run() != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		if path.Dir(name) == path.Join(sourceRoot, modulePath) {
			pkg := c.files[name].ast.Name
			c.problem(pkg.Pos(), "package %s has no function Run: want %s", pkg.Name, wantRun)
			return
		}
	}
}

const wantRun = "func Run(ctx context.Context, agent *coma.Agent) error"

// run is the declaration of the module's Run, nil if there is none.
func (c *code) run() *ast.FuncDecl {
	for name, f := range c.files {
		if path.Dir(name) != path.Join(sourceRoot, modulePath) {
			continue
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "Run" {
				return fn
			}
		}
	}
	return nil
}

// wrongRun is the error for a Run of another type.
func (c *code) wrongRun() error {
	run := c.run()
	c.problem(run.Name.Pos(), "Run has another signature than it needs: want %s", wantRun)
	return &LoadError{Problems: c.problems}
}

// problem notes what is wrong at a position of the syntax tree.
func (c *code) problem(pos token.Pos, format string, args ...any) {
	p := Problem{Message: fmt.Sprintf(format, args...)}
	if pos.IsValid() {
		at := c.fset.PositionFor(pos, false)
		p.File, p.Line, p.Column = at.Filename, at.Line, at.Column
		for _, f := range c.files {
			if f.shown == at.Filename {
				p.SourceLine = sourceLine(f.data, at.Line)
			}
		}
	}
	c.problems = append(c.problems, p)
}

// oneLine joins a message of several lines.
func oneLine(message string) string { return strings.Join(strings.Fields(message), " ") }

const maxSourceLine = 500 // bytes shown of a line

func sourceLine(data []byte, line int) string {
	for range line - 1 {
		_, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return ""
		}
		data = rest
	}
	data, _, _ = bytes.Cut(data, []byte("\n"))
	return clipped(strings.TrimSuffix(string(data), "\r"), maxSourceLine)
}

// tree is the code as the interpreter reads it.
func (c *code) tree() fs.FS {
	tree := fstest.MapFS{
		path.Join(sourceRoot, startPath, "start.go"): {Data: []byte(startSource)},
	}
	for name, f := range c.files {
		tree[name] = &fstest.MapFile{Data: c.text(f)}
	}
	return tree
}

// startSource makes the interpreter import the module and then hold: see Load.
const startSource = `package start

import (
	module "` + modulePath + `"
	control "` + controlPath + `"
)

func init() { control.Hold(module.Run) }
`

// text is a file's source for the interpreter. It would run func main of a package main while loading, so such a
// package gets another name; compiled, it keeps its own.
func (c *code) text(f *file) []byte {
	if f.ast.Name.Name != "main" {
		return f.data
	}
	at := c.fset.PositionFor(f.ast.Name.Pos(), false).Offset
	return slices.Concat(f.data[:at], []byte("main_"), f.data[at+len("main"):])
}
