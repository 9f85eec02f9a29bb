package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Build is programs that the toolchain has compiled into one binary.
type Build struct {
	dir     string
	names   map[string]bool   // those that compile
	refused map[string]string // those that do not: name → what the compiler says
}

// The binary runs the program that its argument names. What Main says comes out on file 3: a program may print.
const runnerHead = `package main

import (
	"fmt"
	"os"

`

const runnerTail = `}

func main() {
	file := os.NewFile(3, "said")
	if _, err := file.WriteString(say(programs[os.Args[1]])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func say(run func() string) (text string) {
	defer func() {
		if cause := recover(); cause != nil {
			text = fmt.Sprintf("panic: %T %v", cause, cause)
		}
	}()
	return run()
}
`

// goVersion is the language version of the programs: the one that interpreted modules have, too.
const goVersion = "1.26"

// Compile builds the programs, all in one run of the toolchain. Those that the compiler refuses are left out.
func Compile(programs []Program) (*Build, error) {
	dir, err := os.MkdirTemp("", "coma-differential-")
	if err != nil {
		return nil, fmt.Errorf("compile programs: %w", err)
	}
	b := &Build{dir: dir, names: map[string]bool{}, refused: map[string]string{}}
	if err := b.compile(programs); err != nil {
		return nil, errors.Join(fmt.Errorf("compile programs: %w", err), b.Close())
	}
	return b, nil
}

// Close removes the binary.
func (b *Build) Close() error { return os.RemoveAll(b.dir) }

func (b *Build) compile(programs []Program) error {
	if err := b.write("go.mod", "module "+root+"\n\ngo "+goVersion+"\n"); err != nil {
		return err
	}
	var invalid bool
	for _, p := range programs {
		b.names[p.Name] = true
		invalid = invalid || !p.Valid
		for name, text := range p.Files {
			if err := b.write(p.Name+"/"+name, text); err != nil {
				return err
			}
		}
	}
	if invalid { // or not yet known to be valid
		if err := b.sieve(); err != nil {
			return err
		}
	}
	var main strings.Builder
	main.WriteString(runnerHead)
	var table strings.Builder
	for _, p := range programs {
		if b.names[p.Name] {
			fmt.Fprintf(&main, "\tp_%s %q\n", p.Name, p.Path())
			fmt.Fprintf(&table, "\t%q: p_%s.Main,\n", p.Name, p.Name)
		}
	}
	main.WriteString(")\n\nvar programs = map[string]func() string{\n" + table.String() + runnerTail)
	if err := b.write("main.go", main.String()); err != nil {
		return err
	}
	if output, err := b.tool("build", "-o", b.binary(), "."); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, clip(output, 4000))
	}
	return nil
}

// heading is the line with which the go command begins what it says of a package.
var heading = regexp.MustCompile(`(?m)^# ` + root + `/([^/\s]+)`)

// sieve finds out which programs do not compile.
func (b *Build) sieve() error {
	output, err := b.tool("build", "-gcflags=-e", "./...")
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("go build: %w", err)
	}
	for i, at := range heading.FindAllStringSubmatchIndex(output, -1) {
		name := output[at[2]:at[3]]
		text := output[at[1]:]
		if next := heading.FindStringIndex(text); next != nil {
			text = text[:next[0]]
		}
		delete(b.names, name)
		b.refused[name] = strings.TrimSpace(text)
		_ = i
	}
	if err != nil && len(b.refused) == 0 {
		return fmt.Errorf("go build: %w\n%s", err, clip(output, 4000))
	}
	return nil
}

func (b *Build) binary() string { return filepath.Join(b.dir, "programs.bin") }

func (b *Build) write(name, text string) error {
	path := filepath.Join(b.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// tool runs the go command where the programs are.
func (b *Build) tool(args ...string) (output string, err error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Compiles says whether the compiler took the program.
func (b *Build) Compiles(name string) bool { return b.names[name] }

// Complaint is what the compiler says of a program that it refuses.
func (b *Build) Complaint(name string) string { return b.refused[name] }

// patience is how long a program may run, on a machine that does much else.
const patience = 30 * time.Second

// Run runs one compiled program, in a process of its own.
func (b *Build) Run(name string) Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	read, write, err := os.Pipe()
	if err != nil {
		return Outcome{Crashed, err.Error()}
	}
	defer read.Close() // read to its end below
	cmd := exec.CommandContext(ctx, b.binary(), name)
	cmd.ExtraFiles = []*os.File{write}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Start()
	_ = write.Close() // the child has its own
	if err != nil {
		return Outcome{Crashed, err.Error()}
	}
	var said bytes.Buffer
	_, readErr := said.ReadFrom(read)
	err = errors.Join(cmd.Wait(), readErr)
	switch {
	case ctx.Err() != nil:
		return Outcome{Hung, ""}
	case err != nil:
		return Outcome{Crashed, fmt.Sprintf("%v: %s", err, clip(stderr.String(), 2000))}
	}
	return Outcome{Said, said.String()}
}
