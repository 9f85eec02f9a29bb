// Package scaffold makes new projects. The files are in template, each a text/template of its own; gomod.go decides what
// go.mod says, so that an editor and "go test" find package coma.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/concurrent-modular-agent/coma/internal/project"
)

//go:embed template
var files embed.FS

// Options say where package coma is found by the new project.
type Options struct {
	Version string // of this coma, "v1.2.3"; one that cannot be fetched, as "(devel)", is not used
	Source  string // folder of coma's own source on this machine; "": there is none. Goes before Version
}

// Project is what has been made.
type Project struct {
	Name  string   // the agent's
	Files []string // relative to the folder, with slashes, in order
	Needs string   // a command that is left to be run in the folder, for editors and go test; "": none
}

// ErrTaken is New's error for a folder that is not empty.
var ErrTaken = errors.New("is not empty")

// New makes a project in dir, a folder that is not there yet or is empty.
func New(dir string, opt Options) (Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Project{}, fmt.Errorf("make project: %w", err)
	}
	name := filepath.Base(dir)
	if err := project.CheckName(name); err != nil {
		return Project{}, fmt.Errorf("make project: the folder's name would be the agent's: %w", err)
	}
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return Project{}, fmt.Errorf("make project: folder %s %w", dir, ErrTaken)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return Project{}, fmt.Errorf("make project: %w", err)
	}
	p := Project{Name: name}
	goMod, goSum, needs, err := dependencies(name, opt)
	if err != nil {
		return Project{}, fmt.Errorf("make project: %w", err)
	}
	p.Needs = needs
	texts, err := p.render()
	if err != nil {
		return Project{}, fmt.Errorf("make project: %w", err)
	}
	texts = append(texts, text{"go.mod", goMod})
	if goSum != "" {
		texts = append(texts, text{"go.sum", goSum})
	}
	for _, t := range texts {
		if err := write(filepath.Join(dir, filepath.FromSlash(t.name)), t.body); err != nil {
			return Project{}, fmt.Errorf("make project: %w", err)
		}
		p.Files = append(p.Files, t.name)
	}
	slices.Sort(p.Files)
	return p, nil
}

// text is a file to write.
type text struct{ name, body string }

// render fills in the templates: template/greeter/greeter.go.tmpl becomes greeter/greeter.go.
func (p Project) render() (texts []text, err error) {
	err = fs.WalkDir(files, "template", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		source, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		t, err := template.New(path).Parse(string(source))
		if err != nil {
			return err
		}
		var body strings.Builder
		if err := t.Execute(&body, p); err != nil {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "template/"), ".tmpl")
		if name == "gitignore" {
			name = ".gitignore" // embed leaves out names that begin with a point
		}
		texts = append(texts, text{name, body.String()})
		return nil
	})
	return texts, err
}

// write makes a new file; one that has appeared meanwhile is not touched.
func write(path, body string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(body)
	return errors.Join(err, file.Close())
}
