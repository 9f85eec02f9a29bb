package module

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/check"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// code is all source of one generation, read once and checked: what is parsed, shown and run is the same text, whatever
// editors do to the files meanwhile.
type code struct {
	src      Source
	path     string // import path of the module's own package
	fset     *token.FileSet
	texts    map[string][]byte // by the name that is shown
	packages []check.Package
	read     map[string]bool   // import paths of the project's packages that are being read, or have been
	folders  map[string]string // of those packages
	imports  map[string]bool   // packages of the host that are imported somewhere
	problems []Problem
	missing  map[token.Pos]bool // imports whose problem has been told

	checked []*check.Checked // dependencies first, the module's own last
}

// readSource reads, parses and checks the module's package and, through imports, all packages of the project that it
// uses. The error is a *LoadError with all that is wrong.
func readSource(src Source) (*code, error) {
	c := &code{
		src:     src,
		path:    ownPath(src),
		fset:    token.NewFileSet(),
		texts:   map[string][]byte{},
		read:    map[string]bool{},
		folders: map[string]string{},
		imports: map[string]bool{},
		missing: map[token.Pos]bool{},
	}
	c.readPackage(c.path, src.GoFiles, "")
	if len(c.problems) == len(c.missing) { // all else would only follow from what is wrong already
		c.check()
	}
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &LoadError{Problems: c.problems}
	}
	return c, nil
}

// ownPath is the import path of the module's package: what compiled code would have, as far as there is one. A single
// file shares its folder with others, so its package is named after the module.
func ownPath(src Source) string {
	if folder, err := filepath.Rel(src.ProjectDir, src.Dir); err == nil && filepath.IsLocal(folder) && folder != "." {
		return path.Join(src.ModulePath, filepath.ToSlash(folder))
	}
	return path.Join(src.ModulePath, src.Name)
}

// readPackage reads the files of one package, then the packages that they import.
func (c *code) readPackage(importPath string, names []string, importedAt string) {
	c.read[importPath] = true
	if len(names) > 0 {
		c.folders[importPath] = filepath.Dir(names[0])
	}
	pkg := check.Package{Path: importPath, GoVersion: c.src.GoVersion}
	wrong := len(c.problems)
	for _, name := range names {
		file := c.readFile(name)
		if file == nil {
			continue
		}
		if pkg.Name == "" {
			pkg.Name = file.Name.Name
		} else if pkg.Name != file.Name.Name {
			first := pkg.Files[0]
			c.problem(file.Name.Pos(), "found packages %s (%s) and %s (%s) in one folder", pkg.Name, path.Base(c.fset.Position(first.Package).Filename), file.Name.Name, filepath.Base(name))
		}
		pkg.Files = append(pkg.Files, file)
	}
	if len(pkg.Files) == 0 {
		if len(c.problems) == wrong {
			c.problems = append(c.problems, Problem{
				File:    modproc.ShownFile(c.src.Dir, c.src.ProjectDir),
				Message: "no Go file to load: files named *_test.go and files with build constraints that do not hold are left out" + importedAt,
			})
		}
		return
	}
	c.packages = append(c.packages, pkg)
	for _, file := range pkg.Files {
		for _, spec := range file.Imports {
			c.readImport(spec)
		}
	}
}

func (c *code) readImport(spec *ast.ImportSpec) {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return // the checker says so
	}
	folder, ok := strings.CutPrefix(target, c.src.ModulePath+"/")
	if _, of := slices.BinarySearch(stdlib.Packages(), target); of || !ok || c.src.ModulePath == "" {
		c.imports[target] = true // the checker says if there is none
		return
	}
	if c.read[target] {
		return
	}
	dir := filepath.Join(c.src.ProjectDir, filepath.FromSlash(folder))
	names, err := goFiles(&c.src, dir)
	if err != nil || len(names) == 0 {
		c.missing[spec.Path.Pos()] = true
	}
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

// check has the packages checked: as Go does, and for what the interpreter cannot run.
func (c *code) check() {
	checked, wrong := check.Check(c.fset, c.packages)
	if len(wrong) == 0 {
		own := slices.IndexFunc(checked, func(p *check.Checked) bool { return p.Path == c.path })
		_, wrong = check.Run(checked[own])
		wrong = append(wrong, check.Refused(c.fset, checked)...)
		c.checked = checked
	}
	for _, e := range wrong {
		if c.missing[e.Pos] {
			continue
		}
		p := c.problemAt(e.Pos, e.Message)
		p.Refusal = e.Refusal
		c.problems = append(c.problems, p)
	}
}

// goFiles returns the absolute names of a folder's Go files, sorted.
func goFiles(s *Source, dir string) ([]string, error) {
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

func readText(s *Source, name string) ([]byte, error) {
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
func (c *code) readFile(name string) *ast.File {
	shown := modproc.ShownFile(name, c.src.ProjectDir)
	text, err := readText(&c.src, name)
	if err != nil {
		c.problems = append(c.problems, Problem{File: shown, Message: "read file: " + err.Error()})
		return nil
	}
	if !goFile(filepath.Base(name)) {
		return nil
	}
	// A constraint that cannot be read is one of syntax, which the parser reports better.
	if included, err := check.Included(filepath.Base(name), text); err == nil && !included {
		return nil
	}
	c.texts[shown] = text
	file, wrong := check.Parse(c.fset, shown, text)
	for _, e := range wrong {
		c.problems = append(c.problems, c.problemAt(e.Pos, e.Message))
	}
	return file
}

// problem notes what is wrong at a position of the syntax tree.
func (c *code) problem(pos token.Pos, format string, args ...any) {
	c.problems = append(c.problems, c.problemAt(pos, fmt.Sprintf(format, args...)))
}

func (c *code) problemAt(pos token.Pos, message string) Problem {
	return c.problemIn(c.fset.PositionFor(pos, false), message)
}

func (c *code) problemIn(at token.Position, message string) Problem {
	return Problem{
		File: at.Filename, Line: at.Line, Column: at.Column, Message: modproc.Clipped(message, modproc.MaxCause),
		SourceLine: sourceLine(c.texts[at.Filename], at.Line),
	}
}

func (c *code) shownDir() string { return modproc.ShownFile(c.src.Dir, c.src.ProjectDir) }

const maxSourceLine = 500 // bytes shown of a line

func sourceLine(data []byte, line int) string {
	if line < 1 {
		return ""
	}
	for range line - 1 {
		_, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return ""
		}
		data = rest
	}
	data, _, _ = bytes.Cut(data, []byte("\n"))
	return modproc.Clipped(strings.TrimSuffix(string(data), "\r"), maxSourceLine)
}

// names tells whether the source has one of these words in it.
func (c *code) names(words ...string) bool {
	for _, text := range c.texts {
		for _, word := range words {
			if bytes.Contains(text, []byte(word)) {
				return true
			}
		}
	}
	return false
}

// folder is what lies beside a package's source, for //go:embed.
func (c *code) folder(importPath string) fs.FS { return os.DirFS(c.folders[importPath]) }

// usesFiles tells whether the code may name os.Stdin, os.Stdout or os.Stderr, which have to be real files then.
func (c *code) usesFiles() bool { return c.names("Stdin", "Stdout", "Stderr") }

// spawns tells whether the code could start processes, with os/exec, syscall or os.StartProcess.
func (c *code) spawns() bool {
	return c.imports["os/exec"] || c.imports["syscall"] || c.names("StartProcess")
}
