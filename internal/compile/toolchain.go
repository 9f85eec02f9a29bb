package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// toolchain is a go command that is new enough.
type toolchain struct {
	path    string // absolute
	version string // go1.26.8
}

// minorVersion is the oldest Go 1.x that compiles coma's own packages, and with them every module: that of coma's go.mod.
const minorVersion = 26

// Available returns the version of the Go toolchain that would compile modules, as in "go1.26.8". The error says that
// there is none, or none that is new enough, and what to do.
func Available() (version string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tool, err := findToolchain(ctx)
	return tool.version, err
}

// findToolchain takes the go command that COMA_GO names, else the first that is new enough of PATH and the place that
// Go's installer uses.
func findToolchain(ctx context.Context) (toolchain, error) {
	if named := os.Getenv("COMA_GO"); named != "" {
		tool, err := checkToolchain(ctx, named)
		if err != nil {
			return tool, fmt.Errorf("COMA_GO: %w", err)
		}
		return tool, nil
	}
	var errs []error
	for _, name := range []string{"go", filepath.Join(runtimeRoot, "bin", "go")} {
		tool, err := checkToolchain(ctx, name)
		if err == nil {
			return tool, nil
		}
		if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return toolchain{}, fmt.Errorf("no Go toolchain is installed: get one at https://go.dev/dl (go 1.%d or newer), or name its go command in COMA_GO", minorVersion)
	}
	return toolchain{}, errors.Join(errs...)
}

const runtimeRoot = "/usr/local/go" // where https://go.dev/doc/install puts it

var goVersion = regexp.MustCompile(`\bgo1\.(\d+)[^\s]*`)

func checkToolchain(ctx context.Context, name string) (toolchain, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return toolchain{}, fmt.Errorf("find the go command: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return toolchain{}, fmt.Errorf("find the go command: %w", err)
	}
	tool := toolchain{path: path}
	out, err := tool.run(ctx, nil, "version")
	if err != nil {
		return toolchain{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	found := goVersion.FindStringSubmatch(string(out))
	if found == nil {
		return toolchain{}, fmt.Errorf("ask %s for its version: it says %q", path, firstLine(out))
	}
	tool.version = found[0]
	if minor, err := strconv.Atoi(found[1]); err != nil || minor < minorVersion {
		return toolchain{}, fmt.Errorf("%s is %s: modules need go 1.%d or newer: get it at https://go.dev/dl, or name another go command in COMA_GO", path, tool.version, minorVersion)
	}
	return tool, nil
}

// commandError is a go command that failed, with what it said.
type commandError struct {
	args   []string
	output []byte
	err    error
}

func (e *commandError) Error() string {
	text := strings.TrimSpace(string(e.output))
	if text == "" {
		text = e.err.Error()
	}
	return fmt.Sprintf("go %s: %s", e.args[0], text)
}

func (e *commandError) Unwrap() error { return e.err }

// stopTime is how long a go command that is interrupted may take to remove what it has made.
const stopTime = 2 * time.Second

// run runs the go command and returns its standard output. The error is a *commandError, or that ctx has ended.
func (t toolchain) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.path, args...)
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), env...)
	if runtime.GOOS != "windows" {
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	}
	cmd.WaitDelay = stopTime
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, &commandError{args: args, output: append(stderr.Bytes(), stdout.Bytes()...), err: err}
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return string(line)
}
