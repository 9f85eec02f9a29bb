package project

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxSourceBytes bounds one Go file. Far above what anyone writes or generates; a larger one is a module that does not load.
const maxSourceBytes = 32 << 20

// goPackage is the Go package in one folder, or in one single-file module.
type goPackage struct {
	files   []string // absolute, sorted
	imports []string // folders of the project, as its files name them; absolute, sorted, without its own
	hasRun  bool     // a top-level func Run
	broken  bool     // a file does not parse, or cannot be read
	empty   bool     // no declarations: a doc.go
	start   token.Position
}

// loader is the state of one Load: each file is read once, each folder's package is parsed once.
type loader struct {
	root       string
	modulePath string
	project    *Project
	packages   map[string]*goPackage   // by folder; nil for a folder without Go files
	sums       map[string]string       // content hashes by path: of Go files, of other files, of whole folders
	configured map[string]moduleConfig // what coma.yaml says of each module
}

// candidate is something directly in the project's folder that may be a module.
type candidate struct {
	name     string // as a module
	path     string // folder, or file
	isFile   bool
	pkg      *goPackage
	imports  []string // transitively
	imported bool     // by another candidate
}

// findModules fills in the project's modules and the problems of what looks like one but is none.
func (l *loader) findModules() (errs []error) {
	candidates, err := l.candidates()
	if err != nil {
		return []error{err}
	}
	byFolder := make(map[string]*candidate)
	for _, c := range candidates {
		if !c.isFile {
			byFolder[c.path] = c
		}
	}
	for _, c := range candidates {
		c.imports = l.closure(c)
		for _, folder := range c.imports {
			if other := byFolder[folder]; other != nil {
				other.imported = true
			}
		}
	}
	scripts := l.scripts()
	byName := make(map[string]string) // what is shown of each
	needed := make(map[string]bool)
	for _, c := range candidates {
		if !c.isModule() {
			continue
		}
		if err := l.take(byName, c.name, c.path, c.isFile); err != nil {
			errs = append(errs, err)
			continue
		}
		m := &Module{Name: c.name, Dir: c.path, GoFiles: c.pkg.files, Imports: c.imports}
		if c.isFile {
			m.Dir, m.File = l.root, c.path
		}
		l.project.Modules = append(l.project.Modules, m)
		for _, folder := range c.imports {
			needed[folder] = true
		}
	}
	for _, s := range scripts {
		if err := l.take(byName, s.name, s.path, s.isFile); err != nil {
			errs = append(errs, err)
			continue
		}
		l.project.Modules = append(l.project.Modules, s.module(l.root))
	}
	for _, c := range candidates {
		if !c.isModule() && !needed[c.path] && !(c.isFile && (needed[l.root] || c.pkg.empty)) {
			l.problem(c.path, c.pkg.start, "no func Run(ctx, agent) and no module imports it")
		}
	}
	slices.SortFunc(l.project.Modules, func(a, b *Module) int { return strings.Compare(a.Name, b.Name) })
	if len(l.project.Modules) == 0 && len(errs) == 0 {
		errs = append(errs, l.noModules())
	}
	return errs
}

// isModule: what has a func Run. Source that does not parse may have one, and is taken for a module so that a slip of the
// keyboard does not end it; unless others import it, which makes it a shared package.
func (c *candidate) isModule() bool { return c.pkg.hasRun || c.pkg.broken && !c.imported }

func (l *loader) noModules() error {
	e := &Error{File: filepath.Base(l.root), Msg: "no module here: a module is a folder with Go files, or one Go file, that has func Run(ctx context.Context, agent *coma.Agent) error, or a program: name.py, name.js, name.sh, an executable file, or a folder with main.py, main.js or main.sh; `coma new <folder>` makes a project to start from"}
	for _, p := range l.project.Problems {
		e.Msg += "\n" + p.String()
	}
	return e
}

// take gives a module its name, which no other has yet.
func (l *loader) take(byName map[string]string, name, path string, isFile bool) error {
	shown := l.rel(path)
	if !isFile {
		shown += "/"
	}
	if other := byName[name]; other != "" {
		return &Error{File: l.rel(path), Msg: fmt.Sprintf("two modules are named %q: %s and %s; rename one", name, other, shown)}
	}
	if err := CheckName(name); err != nil {
		return &Error{File: shortened(shown), Msg: fmt.Sprintf("%v; rename it", err), Err: err}
	}
	byName[name] = shown
	return nil
}

func (l *loader) candidates() ([]*candidate, error) {
	entries, err := os.ReadDir(l.root)
	if err != nil {
		return nil, &Error{File: filepath.Base(l.root), Msg: fmt.Sprintf("read project: %v", err), Err: err}
	}
	var found []*candidate
	for _, entry := range entries {
		path := filepath.Join(l.root, entry.Name())
		isFolder := entry.IsDir()
		if entry.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(path)
			isFolder = err == nil && info.IsDir()
			if isFolder && l.leadsUp(path) {
				continue
			}
		}
		switch {
		case isFolder && !ignoredFolder(entry.Name()):
			pkg := l.packageIn(path)
			if pkg != nil && !l.isScript(entry.Name(), path, pkg) {
				found = append(found, &candidate{name: entry.Name(), path: path, pkg: pkg})
			}
		case !isFolder && goFile(entry.Name()):
			if pkg := l.parse([]string{path}); pkg != nil {
				name := strings.TrimSuffix(entry.Name(), ".go")
				found = append(found, &candidate{name: name, path: path, isFile: true, pkg: pkg})
			}
		}
	}
	return found, nil
}

// leadsUp says whether a link leads to the project itself or to a folder that holds it.
func (l *loader) leadsUp(link string) bool {
	target, err := filepath.EvalSymlinks(link)
	if err != nil {
		return false
	}
	root, err := filepath.EvalSymlinks(l.root)
	return err != nil || within(root, target)
}

func goFile(name string) bool {
	return strings.HasSuffix(name, ".go") && name[0] != '.' && name[0] != '_' && !leftover(name)
}

// closure returns the folders that c imports, directly or not, sorted, without its own.
func (l *loader) closure(c *candidate) []string {
	seen := map[string]bool{c.path: true}
	var folders []string
	queue := c.pkg.imports
	for len(queue) > 0 {
		folder := queue[0]
		queue = queue[1:]
		if seen[folder] {
			continue
		}
		seen[folder] = true
		if pkg := l.packageIn(folder); pkg != nil {
			folders = append(folders, folder)
			queue = append(queue[:len(queue):len(queue)], pkg.imports...)
		}
	}
	slices.Sort(folders)
	return folders
}

// folderOf returns the project's folder that an import path names, whether it exists or not.
func (l *loader) folderOf(importPath string) (folder string, ok bool) {
	rest, ok := strings.CutPrefix(importPath, l.modulePath)
	if !ok || l.modulePath == "" || rest != "" && rest[0] != '/' {
		return "", false
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		// Such paths are refused by Go or hold nothing that counts; the engine says so with its position.
		if rest != "" && (segment == "" || ignoredFolder(segment)) {
			return "", false
		}
	}
	return filepath.Join(l.root, filepath.FromSlash(rest)), true
}

// packageIn returns the package in folder, or nil where there are no Go files.
func (l *loader) packageIn(folder string) *goPackage {
	if pkg, ok := l.packages[folder]; ok {
		return pkg
	}
	var files []string
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.problem(folder, token.Position{}, fmt.Sprintf("read folder: %v", err))
	}
	for _, entry := range entries {
		if !entry.IsDir() && goFile(entry.Name()) {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	pkg := l.parse(files)
	l.packages[folder] = pkg
	return pkg
}

// parse reads the imports and top-level declarations of the files that Go would compile here; nil if there are none.
// Function bodies are parsed only where no file has a func Run: only there does it matter whether the source is whole.
func (l *loader) parse(files []string) *goPackage {
	pkg := &goPackage{empty: true}
	set := token.NewFileSet()
	sources := make(map[string][]byte)
	for _, file := range files {
		source, err := readSource(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the folder was read, or a dangling link
		}
		if err != nil {
			pkg.files = append(pkg.files, file)
			pkg.broken = true
			l.sums[file] = "unreadable" // told here, not once more when it is hashed
			l.problem(file, token.Position{}, fmt.Sprintf("read source: %v", err))
			continue
		}
		sum := sha256.Sum256(source)
		l.sums[file] = string(sum[:])
		if !compiledHere(file, source) {
			continue
		}
		pkg.files = append(pkg.files, file)
		sources[file] = source
		parsed, err := parser.ParseFile(set, file, source, parser.ImportsOnly|parser.SkipObjectResolution)
		pkg.broken = pkg.broken || err != nil
		pkg.hasRun = pkg.hasRun || declaresRun(source)
		if parsed == nil {
			continue
		}
		if !pkg.start.IsValid() && parsed.Package.IsValid() {
			pkg.start = set.Position(parsed.Package)
		}
		for _, spec := range parsed.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil {
				if folder, ok := l.folderOf(path); ok && folder != filepath.Dir(file) {
					pkg.imports = append(pkg.imports, folder)
				}
			}
		}
	}
	if len(pkg.files) == 0 {
		return nil
	}
	slices.Sort(pkg.imports)
	pkg.imports = slices.Compact(pkg.imports)
	for file, source := range sources {
		if pkg.hasRun || pkg.broken && !pkg.empty {
			break
		}
		parsed, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
		pkg.broken = pkg.broken || err != nil
		pkg.empty = pkg.empty && parsed != nil && !slices.ContainsFunc(parsed.Decls, notImport)
	}
	return pkg
}

func notImport(decl ast.Decl) bool {
	gen, ok := decl.(*ast.GenDecl)
	return !ok || gen.Tok != token.IMPORT
}

// runInText finds what may be a func Run. Most files have none, and need no second look.
var runInText = regexp.MustCompile(`\bfunc\s+Run\b`)

// declaresRun says whether source has a top-level func Run, be the rest of it whole or not. In Go a name right behind func
// is a top-level function's, so there is no need to count braces, which source under the editor's hands may lack.
func declaresRun(source []byte) bool {
	if !runInText.Match(source) {
		return false
	}
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(source)), source, nil, 0)
	for before := token.ILLEGAL; ; {
		_, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return false
		case tok == token.IDENT && text == "Run" && before == token.FUNC:
			return true
		}
		before = tok
	}
}

func readSource(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // opening a pipe would wait for its writer
		return nil, errors.New("not a regular file")
	case info.Size() > maxSourceBytes:
		return nil, fmt.Errorf("%d bytes are too many for a Go file", info.Size())
	}
	return os.ReadFile(file)
}

// compiledHere says whether the file's name and //go:build line admit this machine. What cannot be told counts as yes: the
// parser then says what is wrong.
func compiledHere(file string, source []byte) bool {
	context := build.Default
	context.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(source)), nil }
	match, err := context.MatchFile(filepath.Dir(file), filepath.Base(file))
	return match || err != nil
}

func (l *loader) problem(path string, at token.Position, msg string) {
	name := l.rel(path)
	file := name
	if at.IsValid() {
		file = l.rel(at.Filename)
	}
	l.project.Problems = append(l.project.Problems, Problem{Name: name, File: file, Line: at.Line, Column: at.Column, Msg: msg})
}
