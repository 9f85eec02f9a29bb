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

// start measures from the command to the first module's first line, for three modules.
func (b *bench) start() error {
	var first, bare []float64
	for range 20 {
		a, err := b.run(nil, "bench/projects/start")
		if err != nil {
			return err
		}
		if _, err := a.wait(isRunning); err != nil {
			return err
		}
		first = append(first, float64(time.Since(a.began).Microseconds())/1000)
		if err := a.stop(); err != nil {
			return err
		}
		began := time.Now()
		if err := exec.CommandContext(b.ctx, b.coma, "version").Run(); err != nil {
			return err
		}
		bare = append(bare, float64(time.Since(began).Microseconds())/1000)
	}
	b.row("start: command to the first module's first line, 3 modules", fmt.Sprintf("%.0f ms", median(first)),
		fmt.Sprintf("aim 250 ms; `coma version`, the bare process, %.0f ms", median(bare)))
	return nil
}

// reload measures from an edit's rename to the new code's first statement.
func (b *bench) reload() error {
	const debounce = 50
	for _, isolation := range []string{"process", "none"} {
		project, err := b.copyProject("start")
		if err != nil {
			return err
		}
		a, err := b.run(nil, "--isolation", isolation, "--debounce", fmt.Sprint(debounce, "ms"), project)
		if err != nil {
			return err
		}
		for range 3 {
			if _, err := a.wait(isRunning); err != nil {
				return err
			}
		}
		file := filepath.Join(project, "second", "second.go")
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var times []float64
		for i := range 40 {
			temp := file + ".tmp"
			edited := bytes.Replace(source, []byte("waits."), []byte("waits. "+strconv.Itoa(i)), 1)
			if err := os.WriteFile(temp, edited, 0o644); err != nil {
				return err
			}
			renamed := time.Now()
			if err := os.Rename(temp, file); err != nil {
				return err
			}
			l, err := a.wait(func(l line) bool { return l.Module == "second" && isRunning(l) })
			if err != nil {
				return err
			}
			began, err := nanos(l)
			if err != nil {
				return err
			}
			times = append(times, float64(began.Sub(renamed).Microseconds())/1000-debounce)
		}
		if err := a.stop(); err != nil {
			return err
		}
		b.row("reload: rename of the file to the new code's first statement, isolation "+isolation,
			fmt.Sprintf("%.0f ms + %d ms debounce", median(times), debounce), "aim 60 ms + debounce")
	}
	return nil
}

// many measures what modules that wait for messages cost.
func (b *bench) many() error {
	for _, c := range []struct {
		isolation string
		n         int
	}{{"process", 10}, {"process", 100}, {"process", 1000}, {"none", 10}, {"none", 100}, {"none", 1000}, {"none", 10000}} {
		dir, err := os.MkdirTemp(b.dir, "many-")
		if err != nil {
			return err
		}
		for i := range c.n {
			name := fmt.Sprintf("m%d", i)
			source := "package m\n\nimport (\n\t\"context\"\n\n\t\"github.com/concurrent-modular-agent/coma\"\n)\n\nfunc Run(ctx context.Context, agent *coma.Agent) error {\n\tagent.Log(\"running 0\")\n\tfor {\n\t\tif _, err := agent.Receive(ctx); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n}\n"
			if err := os.WriteFile(filepath.Join(dir, name+".go"), []byte(source), 0o644); err != nil {
				return err
			}
		}
		a, err := b.run(nil, "--isolation", c.isolation, dir)
		if err != nil {
			return err
		}
		for range c.n {
			if _, err := a.wait(isRunning); err != nil {
				return err
			}
		}
		took := time.Since(a.began)
		memory, err := proportional(a.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if err := a.stop(); err != nil {
			return err
		}
		b.row(fmt.Sprintf("%d modules, isolation %s: all running", c.n, c.isolation), fmt.Sprintf("%.2f s", took.Seconds()),
			fmt.Sprintf("%.1f MiB in all, %.2f MiB a module", memory, memory/float64(c.n)))
	}
	return nil
}

// proportional returns the memory of a process and its children in MiB, pages that they share counted once (Linux: Pss).
func proportional(pid int) (float64, error) {
	total, err := pss(pid)
	if err != nil {
		return 0, err
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		children, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range strings.Fields(string(children)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			one, err := pss(n)
			if err != nil {
				return 0, err
			}
			total += one
		}
	}
	return total, nil
}

func pss(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for text := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(text, "Pss:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d: no Pss", pid)
}
