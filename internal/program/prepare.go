package program

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// Ready is a program that can be started.
type Ready struct {
	Command []string // of the first, the file is found
	Env     []string // all of its environment, as NAME=value
	// StopAll says that SIGTERM must go to its process group: a shell does nothing about a signal before the command has
	// ended for which it waits.
	StopAll bool
}

// Prepare finds what starts the program, and looks at its syntax: what it returns can be started, as far as can be known
// without starting it. env is the module's environment; memoryLimit, in bytes, is what the program will be held to, 0 for
// no limit. The error is a *modproc.LoadError where it is the project's to mend.
func (p *Program) Prepare(ctx context.Context, env []string, memoryLimit int64) (Ready, error) {
	e := environment(slices.Clone(env))
	e.add("PYTHONUNBUFFERED", "1") // lines are logged when they are written
	venv := ""
	if p.language() == Python {
		venv = p.virtualenv(e)
	}
	if venv != "" {
		e.set("VIRTUAL_ENV", venv)
		e.set("PATH", filepath.Join(venv, "bin")+string(filepath.ListSeparator)+e.get("PATH"))
	}
	r := Ready{Command: p.Command}
	interpreter := ""
	lent, err := p.lendClient(&e)
	if err != nil {
		return Ready{}, err
	}
	if len(p.Command) > 0 {
		var found string
		if found, err = p.find(e, p.Command[0]); err == nil {
			r.Command = append([]string{found}, p.Command[1:]...)
			interpreter = found
		}
	} else {
		r.Command, interpreter, err = p.command(e, venv, lent, memoryLimit)
	}
	if err != nil {
		return Ready{}, p.refuse(err)
	}
	r.Env = e
	r.StopAll = p.language() == Shell
	checked, err := p.check(ctx, interpreter, e)
	if err != nil {
		return Ready{}, err
	}
	if interpreter != "" && len(p.Command) == 0 {
		r.Command[0] = checked
	}
	return r, nil
}

// shells are interpreters that know -n, and wait for their commands.
var shells = []string{"bash", "sh", "dash", "ksh", "zsh", "busybox"}

// refuse is an error about the program as a whole.
func (p *Program) refuse(err error) error {
	file := p.File
	if file == "" {
		file = p.Dir
	}
	return &modproc.LoadError{Problems: []modproc.Problem{{File: modproc.ShownFile(file, p.ProjectDir), Message: err.Error()}}}
}

// command is how a file is started by its kind, with the arguments that coma's library asks for, and the interpreter that
// can check it; "" for none.
func (p *Program) command(e environment, venv string, lent []string, memoryLimit int64) (args []string, interpreter string, err error) {
	switch p.Kind {
	case Python:
		interpreter, err = p.python(e, venv)
		if p.Framework {
			return []string{interpreter, "-u", "-c", bootstrap, p.File}, interpreter, err
		}
		return []string{interpreter, "-u", p.File}, interpreter, err
	case Node:
		if interpreter = e.look("node"); interpreter == "" {
			return nil, "", fmt.Errorf("node is not in PATH: install Node.js (https://nodejs.org), or say what starts this in coma.yaml (command: […])")
		}
		args = []string{interpreter}
		if memoryLimit > 0 {
			// Node fits its heap to the machine's memory; told of the limit, it collects garbage before it meets it.
			args = append(args, fmt.Sprintf("--max-old-space-size=%d", max(memoryLimit/4*3>>20, 16)))
		}
		return append(append(args, lent...), p.File), interpreter, nil
	case Shell:
		args, err = p.shell(e)
		if err != nil {
			return nil, "", err
		}
		return append(args, p.File), args[0], nil
	}
	// The system's own error would say that the file is missing, not its interpreter. What env is told besides is env's.
	if words := shebang(p.File); len(words) > 0 && !strings.HasPrefix(words[0], "-") && !strings.Contains(words[0], "=") {
		if _, err := p.find(e, words[0]); err != nil {
			return nil, "", fmt.Errorf("%w (its #! line asks for it)", err)
		}
	}
	return []string{p.File}, "", nil
}

// virtualenv is the Python environment that belongs to the program: .venv or venv in its folder or the project's, else
// the one that is active where coma was started; "" for none.
func (p *Program) virtualenv(e environment) string {
	for _, dir := range []string{p.Dir, p.ProjectDir} {
		for _, name := range []string{".venv", "venv"} {
			path := filepath.Join(dir, name)
			if isFile(filepath.Join(path, "pyvenv.cfg")) {
				return path
			}
		}
	}
	return e.get("VIRTUAL_ENV")
}

func (p *Program) python(e environment, venv string) (string, error) {
	if venv != "" {
		path := filepath.Join(venv, "bin", "python")
		if !isFile(path) {
			return "", fmt.Errorf("%s has no bin/python that works: make it anew (python3 -m venv %s)", modproc.ShownFile(venv, p.ProjectDir), modproc.ShownFile(venv, p.ProjectDir))
		}
		return path, nil
	}
	for _, name := range []string{"python3", "python"} {
		if path := e.look(name); path != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("python3 is not in PATH: install Python 3 (https://python.org), or make a .venv in the project's folder")
}

// shell is the command before a script: what its #! line says, else bash, else sh.
func (p *Program) shell(e environment) ([]string, error) {
	if words := shebang(p.File); len(words) > 0 {
		found, err := p.find(e, words[0])
		if err != nil {
			return nil, fmt.Errorf("%w (its #! line asks for it)", err)
		}
		return append([]string{found}, words[1:]...), nil
	}
	for _, name := range []string{"bash", "sh"} {
		if path := e.look(name); path != "" {
			return []string{path}, nil
		}
	}
	return nil, fmt.Errorf("neither bash nor sh is in PATH")
}

// shebang is the command that a file's #! line names, without env; nil if it has none.
func shebang(file string) []string {
	first, _, _ := bytes.Cut(begin(file, 256), []byte("\n"))
	line, ok := strings.CutPrefix(string(first), "#!")
	if !ok {
		return nil
	}
	words := strings.Fields(line)
	if len(words) > 1 && filepath.Base(words[0]) == "env" {
		words = words[1:]
		if words[0] == "-S" {
			words = words[1:]
		}
	}
	return words
}

// language is the kind whose ways the program has, whatever starts it: an executable may be a script, and coma.yaml's
// command an interpreter.
func (p *Program) language() Kind {
	words := p.Command
	if len(words) == 0 && p.Kind == Binary {
		words = shebang(p.File)
	}
	if len(words) == 0 {
		return p.Kind
	}
	switch name := filepath.Base(words[0]); {
	case strings.HasPrefix(name, "python"):
		return Python
	case strings.HasPrefix(name, "node"):
		return Node
	case slices.Contains(shells, name):
		return Shell
	}
	for _, word := range words { // npx tsx main.ts
		ending := filepath.Ext(word)
		if ending == ".ts" || ending == ".mts" || ending == ".cts" {
			return Node
		}
		if kind := kinds[ending]; kind != "" {
			return kind
		}
	}
	return p.Kind
}

// find finds a command as a shell in the program's folder does.
func (p *Program) find(e environment, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.Dir, path)
		}
		if info, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s is not there", name)
		} else if info.IsDir() || info.Mode()&0o111 == 0 {
			return "", fmt.Errorf("%s is not executable (chmod +x %s)", name, modproc.ShownFile(path, p.ProjectDir))
		}
		return path, nil
	}
	if path := e.look(name); path != "" {
		return path, nil
	}
	return "", fmt.Errorf("%s is not in PATH: install it, or give its whole path", name)
}

// environment is a list of NAME=value; of several with the same name the last counts.
type environment []string

func (e environment) get(name string) string {
	for _, entry := range slices.Backward(e) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

func (e *environment) set(name, value string) {
	*e = slices.DeleteFunc(*e, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
	*e = append(*e, name+"="+value)
}

// add sets what is not set.
func (e *environment) add(name, value string) {
	if e.get(name) == "" {
		e.set(name, value)
	}
}

// look finds an executable in PATH; "" if there is none.
func (e environment) look(name string) string {
	for _, dir := range filepath.SplitList(e.get("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // what lies in the folder of the day is not to be taken for an interpreter
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}
