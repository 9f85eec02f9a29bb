package program

import (
	"bytes"
	"cmp"
	"context"
	_ "embed" // the text of the check of Python
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// checkTime bounds the look at a program's syntax. What takes longer is started unchecked.
const checkTime = 20 * time.Second

// maxChecked bounds the files for which an interpreter is started one by one.
const maxChecked = 10

// check looks at the syntax of the program's files with the interpreter that is going to run them. It returns that
// interpreter, or the one that it turned out to stand for. The error is a *modproc.LoadError, or why nothing could be
// looked at.
func (p *Program) check(ctx context.Context, interpreter string, e environment) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var problems []modproc.Problem
	var err error
	name := filepath.Base(interpreter)
	switch {
	case p.Kind == Python && strings.HasPrefix(name, "python"):
		interpreter, problems, err = p.checkPython(ctx, interpreter, e)
	case p.Kind == Node && strings.HasPrefix(name, "node"):
		problems, err = p.checkEach(ctx, readNode, func(ctx context.Context, file string) ([]byte, error) { return p.checkNode(ctx, interpreter, e, file) })
	case p.Kind == Shell && slices.Contains(shells, name):
		problems, err = p.checkEach(ctx, readShell, func(ctx context.Context, file string) ([]byte, error) {
			_, errOut, err := run(ctx, e, p.Dir, nil, interpreter, "-n", file)
			return errOut, err
		})
	}
	if err != nil && ctx.Err() == nil && !killed(err) {
		return "", fmt.Errorf("check %s with %s: %w", modproc.ShownFile(p.File, p.ProjectDir), interpreter, err)
	}
	if len(problems) == 0 {
		return interpreter, nil
	}
	for i := range problems {
		at := &problems[i]
		at.SourceLine = line(at.File, at.Line)
		at.File = modproc.ShownFile(at.File, p.ProjectDir)
	}
	return "", &modproc.LoadError{Problems: problems}
}

// killed reports whether a command was ended by a signal, as when the system has no memory left. That says nothing against
// the program, which is started unchecked: a refusal would last until its files are edited.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && !exit.Exited()
}

//go:embed check.py
var pythonCheck string

// checkPython returns the interpreter itself where PATH names a version manager's script (pyenv's, asdf's and mise's lie in
// folders named shims): that takes ten times as long to start, and at a reload nobody hears the module's messages meanwhile.
// Other scripts may set what Python needs.
func (p *Program) checkPython(ctx context.Context, interpreter string, e environment) (string, []modproc.Problem, error) {
	// Without the environment's settings and site packages: faster, and nothing of the program's is run.
	args := append([]string{"-I", "-S", "-B", "-c", pythonCheck}, p.Sources...)
	out, errOut, err := run(ctx, e, p.Dir, nil, interpreter, args...)
	if err != nil {
		return interpreter, nil, fmt.Errorf("%w: %s", err, lastLine(errOut))
	}
	var said struct {
		Interpreter string
		Wrong       []modproc.Problem
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return interpreter, nil, fmt.Errorf("read what it says: %w", err)
	}
	if filepath.Base(filepath.Dir(interpreter)) == "shims" && isFile(said.Interpreter) {
		interpreter = said.Interpreter
	}
	if p.Framework && len(said.Wrong) == 0 {
		said.Wrong = p.checkFramework(ctx, interpreter, e)
	}
	return interpreter, said.Wrong, nil
}

// findFramework ends with 1 where Python does not find the framework, which is not imported for that: it takes seconds.
const findFramework = "import importlib.util, sys; sys.exit(importlib.util.find_spec('" + frameworkPackage + "') is None)"

// checkFramework looks whether the interpreter has the Python framework.
func (p *Program) checkFramework(ctx context.Context, interpreter string, e environment) []modproc.Problem {
	_, _, err := run(ctx, e, p.Dir, nil, interpreter, "-B", "-c", findFramework)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return nil // it is there, or starting the module will tell why not
	}
	return []modproc.Problem{{File: p.File, Message: fmt.Sprintf("%s is not installed for %s: install it there, or into a .venv in the project's folder", frameworkPackage, interpreter)}}
}

// checkEach looks at one file at a time: the program, and what it imports. check runs an interpreter, which says what is
// wrong on its standard error; read reads that.
func (p *Program) checkEach(ctx context.Context, read func(file string, said []byte) modproc.Problem, check func(ctx context.Context, file string) (said []byte, err error)) (problems []modproc.Problem, err error) {
	for _, file := range p.Sources[:min(len(p.Sources), maxChecked)] {
		if kinds[filepath.Ext(file)] != p.Kind {
			continue // data
		}
		said, err := check(ctx, file)
		var exit *exec.ExitError
		switch {
		case err == nil:
		case errors.As(err, &exit) && exit.Exited():
			problems = append(problems, read(file, said))
		default:
			return nil, err
		}
	}
	return problems, nil
}

// moduleStatement is what only JavaScript modules have.
var moduleStatement = regexp.MustCompile(`(?m)^[ \t]*(?:import|export)\b`)

// checkNode looks at a file of JavaScript. Where Node finds out by itself that a .js file is a module, it does not look at
// its syntax when it is asked to; told so, it does.
func (p *Program) checkNode(ctx context.Context, interpreter string, e environment, file string) (said []byte, err error) {
	_, said, err = run(ctx, e, p.Dir, nil, interpreter, "--check", file)
	if err != nil || filepath.Ext(file) != ".js" {
		return said, err
	}
	source := text(file)
	if !moduleStatement.Match(source) {
		return said, nil
	}
	_, said, err = run(ctx, e, p.Dir, source, interpreter, "--check", "--input-type=module")
	return bytes.ReplaceAll(said, []byte("[stdin]:"), []byte(file+":")), err
}

// run runs a command to its end and returns what it wrote, bounded. A nil in is no input.
func run(ctx context.Context, e environment, dir string, in []byte, name string, args ...string) (out, errOut []byte, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Env, cmd.Dir = e, dir
	cmd.WaitDelay = time.Second
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), stderr.Bytes(), err
}

// bounded keeps the first megabyte.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := 1<<20 - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// noWords stands for those of an interpreter that refuses a file and says nothing.
const noWords = "it does not parse"

var nodePlace = regexp.MustCompile(`(?m)^(?:file://)?(/[^\n]*?):(\d+)$`)

// readNode reads what node --check says: file:line, the line, a caret below, an empty line, the error.
func readNode(file string, said []byte) modproc.Problem {
	problem := modproc.Problem{File: file, Message: cmp.Or(lastLine(said), noWords)}
	lines := strings.Split(string(said), "\n")
	for i, l := range lines {
		if at := nodePlace.FindStringSubmatch(l); at != nil && problem.Line == 0 {
			problem.File = at[1]
			problem.Line = number(at[2])
			if i+2 < len(lines) {
				problem.Column = strings.IndexByte(lines[i+2], '^') + 1
			}
		}
		if name, _, ok := strings.Cut(l, ": "); ok && strings.HasSuffix(name, "Error") && !strings.ContainsAny(name, " \t") {
			problem.Message = strings.ToValidUTF8(l, "\uFFFD")
			break
		}
	}
	if strings.Contains(problem.Message, "import statement outside a module") {
		problem.Message += " (name it .mjs, or put a package.json with \"type\": \"module\" beside it)"
	}
	return problem
}

var shellPlace = regexp.MustCompile(`(?m)^.*?: (?:line )?(\d+): (.*)$`)

// readShell reads what a shell says: file: line 3: what.
func readShell(file string, said []byte) modproc.Problem {
	at := shellPlace.FindSubmatch(said)
	if at == nil {
		return modproc.Problem{File: file, Message: cmp.Or(lastLine(said), noWords)}
	}
	return modproc.Problem{File: file, Line: number(string(at[1])), Message: cmp.Or(strings.ToValidUTF8(string(at[2]), "\uFFFD"), noWords)}
}

// number is the value of digits, 0 if there are too many.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// line is one line of a file, from 1, without its end; "" if there is none.
func line(file string, at int) string {
	if at < 1 {
		return ""
	}
	for l := range bytes.Lines(text(file)) {
		if at--; at == 0 {
			return strings.ToValidUTF8(strings.TrimRight(string(l), "\r\n"), "\uFFFD")
		}
	}
	return ""
}

// lastLine is the last line that is not empty.
func lastLine(said []byte) string {
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	return strings.ToValidUTF8(strings.TrimSpace(lines[len(lines)-1]), "\uFFFD")
}
