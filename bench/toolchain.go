package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// toolchain measures what goes through the Go compiler: modules with "engine: go", beside the interpreter, and coma build.
// Go's own build cache has what it has, as for an author at work; coma's is empty.
func (b *bench) toolchain() error {
	env, err := b.emptyCache()
	if err != nil {
		return err
	}
	for _, engine := range []string{"go", "yaegi"} {
		if err := b.edits(engine, env); err != nil {
			return err
		}
	}
	if err := b.bareBuild(); err != nil {
		return err
	}
	return b.build(env)
}

// emptyCache is the environment in which coma has nothing built and Go has.
func (b *bench) emptyCache() ([]string, error) {
	goCache, err := exec.CommandContext(b.ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("find Go's build cache: %w", err)
	}
	dir, err := os.MkdirTemp(b.dir, "cache-")
	if err != nil {
		return nil, err
	}
	return []string{"XDG_CACHE_HOME=" + dir, "GOCACHE=" + strings.TrimSpace(string(goCache))}, nil
}

// edits measures from an edit of a 100-line module to its new code's first statement.
func (b *bench) edits(engine string, env []string) error {
	const debounce = 50
	project, err := b.copyProject("hundred")
	if err != nil {
		return err
	}
	a, err := b.run(env, "--engine", engine, "--debounce", fmt.Sprint(debounce, "ms"), project)
	if err != nil {
		return err
	}
	if _, err := a.wait(isRunning); err != nil {
		return err
	}
	first := time.Since(a.began)
	file := filepath.Join(project, "weather", "weather.go")
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var took []float64
	for i := range 15 {
		edited := bytes.Replace(source, []byte("edition = 0"), []byte("edition = "+strconv.Itoa(int(time.Now().UnixNano())+i)), 1)
		if err := os.WriteFile(file+".tmp", edited, 0o644); err != nil {
			return err
		}
		renamed := time.Now()
		if err := os.Rename(file+".tmp", file); err != nil {
			return err
		}
		l, err := a.wait(isRunning)
		if err != nil {
			return err
		}
		began, err := nanos(l)
		if err != nil {
			return err
		}
		took = append(took, milliseconds(began.Sub(renamed)))
	}
	if err := a.stop(); err != nil {
		return err
	}
	what := map[string]string{"yaegi": "interpreted", "go": "engine go"}[engine]
	b.row("edit to running, 100-line module, "+what, fmt.Sprintf("%.0f ms, %d ms of it debounce", median(took), debounce),
		fmt.Sprintf("aim 1 s; coma run to its first line, nothing built: %.0f ms", milliseconds(first)))
	return nil
}

// bareBuild measures what the toolchain takes for next to nothing: a main of one line that imports net/http. It is the
// floor of "engine: go" on this machine.
func (b *bench) bareBuild() error {
	dir, err := os.MkdirTemp(b.dir, "bare-")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module bare\n\ngo 1.26\n"), 0o644); err != nil {
		return err
	}
	var took []float64
	for i := range 8 {
		text := fmt.Sprintf("package main\n\nimport \"net/http\"\n\nfunc main() { println(%d, http.DefaultClient.Get) }\n", time.Now().UnixNano())
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o644); err != nil {
			return err
		}
		cmd := exec.CommandContext(b.ctx, "go", "build", "-ldflags=-s -w", "-o", "bare", ".")
		cmd.Dir = dir
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
		if i > 0 { // the first brings the standard library into Go's cache
			took = append(took, milliseconds(time.Since(began)))
		}
	}
	b.row("go build of one line that imports net/http, after an edit", fmt.Sprintf("%.0f ms", median(took)), "the toolchain's own part of engine go")
	return nil
}

// build measures coma build.
func (b *bench) build(env []string) error {
	project, err := b.copyProject("start")
	if err != nil {
		return err
	}
	binary := filepath.Join(b.dir, "built")
	file := filepath.Join(project, "second", "second.go")
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var took []float64
	for i := range 4 {
		edited := append(source, fmt.Sprintf("\nvar Edition = %d\n", i)...)
		if i == 0 {
			edited = source
		}
		if err := os.WriteFile(file, edited, 0o644); err != nil {
			return err
		}
		cmd := exec.CommandContext(b.ctx, b.coma, "build", "-o", binary, project)
		cmd.Env = append(os.Environ(), env...)
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("coma build: %w\n%s", err, out)
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	size := [2]float64{}
	for i, name := range []string{binary, b.coma} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		size[i] = float64(info.Size()) / 1e6
	}
	b.row("coma build of 3 modules, after an edit", fmt.Sprintf("%.1f s, a file of %.0f MB", median(took[1:])/1000, size[0]),
		fmt.Sprintf("the first time %.1f s; coma itself: %.0f MB", took[0]/1000, size[1]))
	return nil
}
