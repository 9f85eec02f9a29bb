package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// line is what coma run --json prints.
type line struct {
	Time   time.Time `json:"time"`
	Module string    `json:"module"`
	Event  string    `json:"event"`
	Text   string    `json:"text"`
	Error  string    `json:"error"`
	PID    int       `json:"pid"`
	Gen    int       `json:"generation"`
	Attrs  []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"attrs"`
}

func (l line) number(key string) (float64, error) {
	for _, a := range l.Attrs {
		if a.Key == key {
			return strconv.ParseFloat(a.Value, 64)
		}
	}
	return 0, fmt.Errorf("%s's line %q has no %s", l.Module, l.Text, key)
}

// agent is a coma run under way.
type agent struct {
	cmd   *exec.Cmd
	lines chan line
	began time.Time
	read  sync.WaitGroup
}

// run starts coma run on a project, with state folders of its own.
func (b *bench) run(env []string, args ...string) (*agent, error) {
	home, err := os.MkdirTemp(b.dir, "home-")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(b.ctx, b.coma, append([]string{"run", "--json", "--backend", "own"}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_STATE_HOME="+home, "XDG_RUNTIME_DIR="+home)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a := &agent{cmd: cmd, lines: make(chan line, 64<<10), began: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a.read.Go(func() {
		defer close(a.lines)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, 4<<20)
		for scan.Scan() {
			var l line
			if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
				l = line{Event: "failed", Error: err.Error()}
			}
			a.lines <- l
		}
		io.Copy(io.Discard, out) // an over-long line: the rest is of no use, and coma must not wait for it
	})
	return a, nil
}

// wait returns the first line for which is holds; a module's failure is an error.
func (a *agent) wait(is func(line) bool) (line, error) {
	timeout := time.After(3 * time.Minute)
	for {
		select {
		case l, ok := <-a.lines:
			switch {
			case !ok:
				return l, errors.New("coma run ended early")
			case is(l):
				return l, nil
			case l.Event == "failed" || l.Event == "load failed":
				return l, fmt.Errorf("module %s: %s", l.Module, l.Error)
			}
		case <-timeout:
			return line{}, errors.New("nothing within 3 minutes")
		}
	}
}

// stop ends the agent as Ctrl-C does.
func (a *agent) stop() error {
	if err := a.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	for range a.lines {
	}
	a.read.Wait()
	return a.cmd.Wait()
}

// copyProject copies a project of bench/projects to where it may be edited.
func (b *bench) copyProject(name string) (string, error) {
	dir, err := os.MkdirTemp(b.dir, "project-")
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, name)
	return dir, os.CopyFS(dir, os.DirFS(filepath.Join("bench", "projects", name)))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// nanos reads the time that the modules of project start print when they begin.
func nanos(l line) (time.Time, error) {
	text, ok := strings.CutPrefix(l.Text, "running ")
	if !ok {
		return time.Time{}, fmt.Errorf("unexpected line %q", l.Text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(0, n), err
}

func isResult(l line) bool { return l.Text == "result" }

func isRunning(l line) bool { return strings.HasPrefix(l.Text, "running ") }
