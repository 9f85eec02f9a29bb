// Package project reads a project's folder and checks it: which modules there are, how coma.yaml wants them run, and a
// fingerprint of each that changes when something that matters to it does.
//
// Nothing is run, compiled or watched here, and Load keeps nothing between calls: it reads the folder as it is now, in
// milliseconds, so that package reload can call it after every edit.
//
// Read Load first, then source.go (what a module is, and what it imports), script.go (the same for those that are not
// written in Go), config.go (coma.yaml), fingerprint.go (what counts as a change), ignore.go and walk.go (what never
// does).
package project

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/program"
)

// Project is a folder of modules, as it was when Load read it. It is not changed afterwards and may be shared.
type Project struct {
	Dir          string // absolute
	Agent        string // coma.yaml's agent, else the folder's name
	Durable      bool   // messages are on disk before their sender is told
	MailboxLimit int    // messages that may wait in one module's mailbox; 0: the mailbox's default
	Memory       Memory // how coma.yaml wants the agent's memory
	Broker       Broker // that coma.yaml wants
	// ModulePath is the folder's import path: from the nearest go.mod at or above it, else the folder's name. The shared
	// folder sub/folder is imported as ModulePath + "/sub/folder".
	ModulePath string

	// GoVersion is the language version that go.mod asks for, as "go1.21"; "": the newest.
	GoVersion string
	Modules   []*Module // sorted by name, without those that coma.yaml disables
	Disabled  []string  // names of modules that coma.yaml disables, sorted
	Problems  []Problem // what keeps something from running, but not the modules

	ignore ignore
}

// Memory is how an agent's memory is kept. The zero value leaves it as it is made.
type Memory struct {
	Embedder string        // a name that package embed knows; "": not said
	TTL      time.Duration // records older than this go; 0: none do
	Limit    int           // no more records than these; 0: any number
	At       string        // http(s)://host:port of the backend that has the memory; "": the one where the agent runs
}

// Module is one module's source and how to run it.
type Module struct {
	Name    string
	Dir     string   // absolute; a single-file module's is the project's folder
	File    string   // absolute, for a single-file module; else ""
	GoFiles []string // absolute, sorted: those that Go would compile here (no _test.go, build constraints met)
	// Imports are the project's own package folders that the module needs, directly or not: absolute, sorted. Packages
	// below the module's own folder are among them where it imports them.
	Imports []string

	// Program is the file that is started, absolute, of a module that is not written in Go ("" for Go, and where
	// Exec.Command alone says what is started). Exec is how; nil for Go.
	Program string
	Exec    *program.Program
	// Mailbox is "mqtt" for a module that takes its messages as an MQTT client does, by their topic; "" otherwise.
	Mailbox string

	Engine      string // EngineYaegi, EngineGo, EngineExec or EngineAuto
	Isolation   string // "process" or "none"
	Restart     string // "always", "on-failure" or "never"
	Env         map[string]string
	MemoryLimit int64         // bytes
	Grace       time.Duration // from the request to stop to the kill

	// Fingerprint is equal as long as nothing that matters to the module has changed: its files, the shared
	// packages that it imports, its configuration. It says nothing about the agent's own settings.
	Fingerprint string
}

// Problem is something in a project that does not run as its author probably meant, while the rest does.
type Problem struct {
	Name         string // folder or file that it is about, relative to the project
	File         string // relative to the project
	Line, Column int    // from 1; 0 where it is about the whole file
	Msg          string
}

func (p Problem) String() string {
	return position(p.File, p.Line, p.Column) + p.Name + ": " + p.Msg
}

// Module returns the module of that name, or nil.
func (p *Project) Module(name string) *Module {
	i, found := slices.BinarySearchFunc(p.Modules, name, func(m *Module, name string) int { return strings.Compare(m.Name, name) })
	if !found {
		return nil
	}
	return p.Modules[i]
}

// Load reads the project in dir. An error is one or several *Error, joined: the project cannot run as a whole (no such
// folder, no module, a broken coma.yaml, names that cannot be used). What concerns one module alone is no error here:
// source that does not parse is a module whose load fails later, and the rest is in Problems.
func Load(dir string) (*Project, error) {
	root, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	config, configErr := loadConfig(root)
	modulePath, goVersion, goModErr := loadModulePath(root)
	l := &loader{
		root:       root,
		modulePath: modulePath,
		packages:   make(map[string]*goPackage),
		sums:       make(map[string]string),
		configured: config.modules,
		project: &Project{
			Dir:          root,
			Agent:        config.agent,
			Durable:      config.durable,
			MailboxLimit: config.mailboxLimit,
			Memory:       config.memory,
			Broker:       config.broker.below(root),
			ModulePath:   modulePath,
			GoVersion:    goVersion,
			ignore:       config.ignore,
		},
	}
	p := l.project
	errs := []error{configErr, goModErr, p.nameAgent(dir)}
	errs = append(errs, l.findModules()...)
	if configErr == nil {
		errs = append(errs, l.configure(config)...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, m := range p.Modules {
		m.Fingerprint = l.fingerprint(m)
	}
	slices.SortStableFunc(p.Problems, func(a, b Problem) int { return strings.Compare(a.Name, b.Name) })
	return p, nil
}

func openFolder(dir string) (string, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", &Error{File: dir, Msg: fmt.Sprintf("find project: %v", err), Err: err}
	}
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", &Error{File: dir, Msg: "no such folder; `coma new " + dir + "` makes a project there", Err: err}
	case err != nil:
		return "", &Error{File: dir, Msg: fmt.Sprintf("read project: %v", err), Err: err}
	case !info.IsDir():
		return "", &Error{File: dir, Msg: "is a file; give the project's folder, not a file in it"}
	}
	return root, nil
}

// nameAgent names the agent after its folder where coma.yaml does not (parseConfig has checked the name that it gives).
func (p *Project) nameAgent(dir string) error {
	if p.Agent != "" {
		return nil
	}
	p.Agent = filepath.Base(p.Dir)
	if err := CheckName(p.Agent); err != nil {
		return &Error{File: dir, Msg: fmt.Sprintf("the folder's name cannot be the agent's: %v; name the agent in coma.yaml (agent: …)", err), Err: err}
	}
	return nil
}

// configure gives every module its settings and drops the disabled ones.
func (l *loader) configure(c config) (errs []error) {
	p := l.project
	for _, m := range p.Modules {
		s := c.defaults.overlaid(c.modules[m.Name].settings)
		m.Engine, m.Isolation, m.Restart = s.engine, s.isolation, s.restart
		m.MemoryLimit, m.Grace = s.memory, *s.grace
		m.Env = maps.Clone(s.env)
		errs = append(errs, m.configureProgram(c.modules[m.Name], c.memorySaid || c.modules[m.Name].memory != 0)...)
	}
	for _, name := range slices.Sorted(maps.Keys(c.modules)) {
		entry := c.modules[name]
		if p.Module(name) == nil && len(p.Modules) > 0 {
			errs = append(errs, entry.unknown(name, p.Modules))
		}
	}
	p.Modules = slices.DeleteFunc(p.Modules, func(m *Module) bool {
		disabled := c.modules[m.Name].disabled
		if disabled {
			p.Disabled = append(p.Disabled, m.Name)
		}
		return disabled
	})
	return errs
}

// rel is path as messages show it: relative to the project, with slashes.
func (l *loader) rel(path string) string {
	rel, err := filepath.Rel(l.root, path)
	if err != nil { // not below the project: a symlink's target
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}
