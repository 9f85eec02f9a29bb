// Package program knows modules that are not written in Go: how one is found, checked, started, and what it died of.
//
// A program is a file that something else runs (Python, Node, a shell), or one that runs by itself. It is a module's
// process like any other, except that it connects to the host by itself, or not at all: coma has its own process before it
// (the shim), which waits until the program is to start, starts it, passes the request to stop on to it, looks at how much
// memory it uses, and ends it when the host dies.
//
// Read it in this order:
//
//   - program.go: what a program is, by its file's name
//   - imports.go: which files of the project it reads, by its import statements
//   - framework.go: modules of the Python framework, and what starts them
//   - prepare.go: which interpreter starts it, with which environment
//   - client.go: coma's own library for the program's language, which need not be installed
//   - check.go: the look at its syntax before a running generation is stopped for it
//   - shim.go, usage_linux.go: the process before it
//   - death.go: why it ended, from the last lines of its standard error
package program

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kind is what runs a program.
type Kind string

// The kinds.
const (
	Python Kind = "python"
	Node   Kind = "node"
	Shell  Kind = "shell"
	Binary Kind = "binary" // the system: it is executable
)

// Program is a module that is not written in Go.
type Program struct {
	File      string   // absolute: what is started; "" where Command alone says it
	Kind      Kind     // "" where Command alone says how
	Command   []string // what coma.yaml wants started instead, in Dir; nil: File, by its kind's interpreter
	Framework bool     // a module of the Python framework (see framework.go)

	Dir        string // absolute: the module's folder, where it is started
	ProjectDir string // absolute

	// Sources are File and what it imports from the project, as far as its import statements tell: the files whose syntax
	// is looked at. Folders are packages among them.
	Sources []string
	Folders []string
}

// kinds are those that a file's name tells.
var kinds = map[string]Kind{".py": Python, ".js": Node, ".mjs": Node, ".cjs": Node, ".sh": Shell}

// Suffixes are the endings of files that are programs by name, without the point, most usual first.
func Suffixes() []string { return []string{"py", "js", "mjs", "cjs", "sh"} }

// KindOf tells by which kind a file is a program: by its name, or because it is executable. "" is none.
func KindOf(path string) Kind {
	if kind := kinds[filepath.Ext(path)]; kind != "" {
		return kind
	}
	if executable(path) {
		return Binary
	}
	return ""
}

// Name is the name of the module that a file in a project's folder is: its own without the ending.
func Name(path string) string {
	name := filepath.Base(path)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// NoModule tells whether a file's name says that it is no module although it is a program: tests, settings of tools,
// what begins with _ or a point.
func NoModule(path string) bool {
	name := filepath.Base(path)
	if name[0] == '_' || name[0] == '.' {
		return true
	}
	stem := Name(path)
	switch kinds[filepath.Ext(name)] {
	case Python:
		return strings.HasPrefix(name, "test_") || strings.HasSuffix(stem, "_test") || slices.Contains([]string{"conftest", "setup"}, stem)
	case Node:
		for _, ending := range []string{".config", ".test", ".spec"} {
			if strings.HasSuffix(stem, ending) {
				return true
			}
		}
	}
	return false
}

// Main finds the program that starts a module's folder: main.py, main.js, main.mjs, main.cjs, main.sh or an executable
// main. More than one means that the folder does not say which; none, that it holds no program.
func Main(dir string) (found []string) {
	for _, suffix := range Suffixes() {
		if path := filepath.Join(dir, "main."+suffix); isFile(path) {
			found = append(found, path)
		}
	}
	if path := filepath.Join(dir, "main"); executable(path) {
		found = append(found, path)
	}
	return found
}

// Started is the file among a command's words that is what it starts, absolute; "" if none is one in the folder.
func Started(command []string, dir string) string {
	for _, word := range command {
		if path := filepath.Join(dir, word); filepath.IsLocal(word) && isFile(path) {
			return path
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// libraries are endings of files that systems mark as executable although nobody starts them; so do file systems that
// know no such mark with all files.
var libraries = []string{".so", ".dylib", ".dll", ".node", ".o", ".a", ".go"}

// executable tells whether a file can be started as it is: by its mode, and because it begins as programs do.
func executable(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || slices.Contains(libraries, filepath.Ext(path)) {
		return false
	}
	first := string(begin(path, 4))
	switch first {
	case "\x7fELF", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xca\xfe\xba\xbe": // Linux and most others; macOS
		return true
	}
	return strings.HasPrefix(first, "#!")
}

// begin is the first n bytes of a regular file, fewer where it has fewer or cannot be read.
func begin(path string, n int64) []byte {
	if !isFile(path) { // a pipe would wait for its writer
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close() // only read from
	data, err := io.ReadAll(io.LimitReader(f, n))
	if err != nil {
		return nil
	}
	return data
}

// maxSource bounds a file that is looked into, in bytes. Larger ones are started like others, and not looked into.
const maxSource = 4 << 20

// text is a source file's, nil where it cannot be read or is too large.
func text(path string) []byte {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSource {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil // removed since, or unreadable: whoever starts it says so
	}
	return data
}

// Find describes the program that file is, with all that it imports. command is coma.yaml's, or nil. Ignored says which
// files and folders of the project never count.
func Find(file string, command []string, dir, projectDir string, ignored func(path string, folder bool) bool) Program {
	kind := KindOf(file)
	p := Program{File: file, Kind: kind, Command: command, Dir: dir, ProjectDir: projectDir}
	if kind == Python {
		_, p.Framework = frameworkName(text(file))
	}
	r := reader{main: file, kind: p.language(), root: projectDir, ignored: ignored}
	if file != "" {
		r.read(file)
	}
	p.Sources, p.Folders = r.files, r.folders
	slices.Sort(p.Folders)
	return p
}
