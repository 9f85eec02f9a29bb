package project

import (
	"fmt"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/program"
)

// script is a module that is not written in Go: a program directly in the project's folder, or a folder with one.
type script struct {
	name   string
	path   string // of the file or the folder
	isFile bool
	exec   program.Program
}

// module is the module that s is.
func (s *script) module(root string) *Module {
	m := &Module{Name: s.name, Dir: s.path, Program: s.exec.File, Exec: &s.exec}
	if s.isFile {
		m.Dir, m.File = root, s.path
	}
	if s.exec.Framework {
		m.Mailbox = "mqtt"
	}
	return m
}

// scripts finds them, and the problems of what looks like one but is none.
func (l *loader) scripts() []*script {
	entries, err := os.ReadDir(l.root)
	if err != nil {
		return nil // candidates has said so
	}
	var found []*script
	for _, entry := range entries {
		path := filepath.Join(l.root, entry.Name())
		info, err := os.Stat(path)
		if err != nil || l.project.Ignored(path, info.IsDir()) {
			continue
		}
		var s *script
		if info.IsDir() {
			if entry.Type()&fs.ModeSymlink == 0 || !l.leadsUp(path) {
				s = l.folderScript(path)
			}
		} else {
			s = l.fileScript(path)
		}
		if s != nil {
			found = append(found, s)
		}
	}
	return l.own(found)
}

// isScript tells whether a folder that holds a Go package is a program all the same: one that coma.yaml wants to be
// started, or that has a main.py (or the like) and no func Run.
func (l *loader) isScript(name, path string, pkg *goPackage) bool {
	c := l.configured[name]
	return c.engine == EngineExec || c.command != nil || !pkg.hasRun && len(program.Main(path)) > 0
}

// folderScript is the script that a folder is, or nil.
func (l *loader) folderScript(path string) *script {
	name := filepath.Base(path)
	pkg := l.packageIn(path)
	if pkg != nil && !l.isScript(name, path, pkg) {
		return nil
	}
	c := l.configured[name]
	mains := program.Main(path)
	switch {
	case len(mains) == 1 || len(mains) > 1 && c.command != nil:
		s := &script{name: name, path: path, exec: l.find(mains[0], c.command, path)}
		l.nameByFramework(s)
		return s
	case c.command != nil:
		return &script{name: name, path: path, exec: l.find(program.Started(c.command, path), c.command, path)}
	case len(mains) > 1:
		for i := range mains {
			mains[i] = filepath.Base(mains[i])
		}
		l.problem(path, token.Position{}, strings.Join(mains, " and ")+": which one starts the module? Keep one, or say command: […] in coma.yaml")
	case c.engine == EngineExec: // Load says what is missing
		return &script{name: name, path: path, exec: program.Program{Dir: path, ProjectDir: l.root}}
	}
	return nil
}

// fileScript is the script that a file in the project's folder is, or nil.
func (l *loader) fileScript(path string) *script {
	kind := program.KindOf(path)
	name := program.Name(path)
	switch {
	case kind == "" || filepath.Ext(path) == ".go" || program.NoModule(path) && !l.named(name):
		return nil
	case kind == program.Binary && name == l.project.Agent && !l.named(name):
		// coma build writes an agent's binary here: it must not run itself.
		l.problem(path, token.Position{}, "it has the agent's name, as what coma build makes, and is not taken for a module; name it under modules: in coma.yaml if it is one")
		return nil
	}
	s := &script{name: name, path: path, isFile: true, exec: l.find(path, l.configured[name].command, l.root)}
	l.nameByFramework(s)
	return s
}

func (l *loader) find(file string, command []string, dir string) program.Program {
	return program.Find(file, command, dir, l.root, l.project.Ignored)
}

// nameByFramework gives a module of the Python framework the name that its decorator says.
func (l *loader) nameByFramework(s *script) {
	if s.exec.Framework {
		if name := program.FrameworkName(s.exec.File); name != "" {
			s.name = name
		}
	}
}

// named tells whether coma.yaml says something about a module of that name.
func (l *loader) named(name string) bool {
	_, named := l.configured[name]
	return named
}

// own leaves out the files that are no modules of their own: those that others import, unless they say that they are
// programs too; and, beside modules of the Python framework, which marks its own, Python that it has not marked.
func (l *loader) own(found []*script) (modules []*script) {
	framework := slices.ContainsFunc(found, func(s *script) bool { return s.exec.Framework })
	imported := func(s *script) bool {
		return slices.ContainsFunc(found, func(other *script) bool {
			// Two that import each other are both modules.
			return slices.Contains(other.exec.Sources, s.path) && !slices.Contains(s.exec.Sources, other.exec.File)
		})
	}
	for _, s := range found {
		switch {
		case !s.isFile || s.exec.Framework || l.named(s.name):
		case imported(s) && !program.Guarded(s.path, s.exec.Kind):
			continue
		case framework && s.exec.Kind == program.Python && !program.UsesComa(s.path):
			l.problem(s.path, token.Position{}, "no function is marked with @module_main, it does not import coma, and no module imports it")
			continue
		}
		modules = append(modules, s)
	}
	return modules
}

// frameworkMemoryLimit is what a module of the Python framework gets where coma.yaml does not say, in bytes: importing the
// framework alone takes about 900 MiB.
const frameworkMemoryLimit = 2 << 30

// configureProgram applies what only concerns programs, and says what does not go together. memorySaid: coma.yaml
// gives a memory limit, for this module or for all.
func (m *Module) configureProgram(c moduleConfig, memorySaid bool) (errs []error) {
	fail := func(format string, args ...any) {
		errs = append(errs, &Error{File: configName, Line: c.line, Column: c.column, Msg: fmt.Sprintf("module %s: ", m.Name) + fmt.Sprintf(format, args...)})
	}
	switch c.mailbox {
	case "mqtt":
		m.Mailbox = c.mailbox
	case "host":
		m.Mailbox = ""
	}
	if m.Exec == nil {
		switch {
		case c.engine == EngineExec:
			fail("engine exec starts programs, and this is %s, in Go; remove engine: exec", filepath.Base(m.GoFiles[0]))
		case c.command != nil:
			fail("command is for programs, and this is %s, in Go", filepath.Base(m.GoFiles[0]))
		}
		return errs
	}
	if c.engine != "" && !slices.Contains([]string{EngineExec, EngineAuto}, c.engine) {
		fail("engine %s is for Go, and this is %s; remove engine: %s", c.engine, filepath.Base(m.Program), c.engine)
	}
	if c.isolation == "none" {
		fail("isolation none is for Go, and a program is a process of its own; remove isolation: none")
	}
	m.Engine, m.Isolation = EngineExec, "process"
	if m.Exec.Framework && !memorySaid {
		m.MemoryLimit = frameworkMemoryLimit
	}
	m.Exec.Command = c.command // by the name that the framework's decorator gave it, too
	if m.Program == "" && c.command == nil {
		fail("engine exec starts a main.py, main.js, main.mjs, main.cjs, main.sh or an executable main, and the folder has none; or say what is started: command: […]")
	}
	return errs
}
