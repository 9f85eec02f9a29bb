//go:build unix

package module

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// hundred is a module of about 100 lines: a few types, functions, a goroutine, four packages.
func hundred() string {
	var b strings.Builder
	b.WriteString("package chat\n\nimport (\n\t\"context\"\n\t\"fmt\"\n\t\"strings\"\n\t\"time\"\n\n\t\"github.com/concurrent-modular-agent/coma\"\n)\n\n")
	for i := range 8 {
		fmt.Fprintf(&b, `type mood%[1]d struct {
	name  string
	level int
}

func (m *mood%[1]d) change(by int, words ...string) string {
	m.level += by
	return fmt.Sprintf("%%s %%d %%s", m.name, m.level, strings.Join(words, ","))
}

`, i)
	}
	b.WriteString(`func Run(ctx context.Context, agent *coma.Agent) error {
	m := &mood0{name: "calm"}
	go func() {
		<-time.After(time.Hour)
	}()
	m.change(1, "a", "b")
	msg, err := agent.Receive(ctx)
	if err != nil {
		return err
	}
	agent.Log(msg.Text)
	return nil
}
`)
	return b.String()
}

func BenchmarkLoad(b *testing.B) {
	src := source(b, project(b, map[string]string{"chat/chat.go": hundred()}), "chat")
	out := newCapture()
	b.ReportAllocs()
	for b.Loop() {
		p, err := Load(b.Context(), src, out)
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}

// BenchmarkStartProcess is the time from the start of a process until its code is loaded; it reports the memory of one
// that waits, too.
func BenchmarkStartProcess(b *testing.B) {
	s := spec(source(b, project(b, map[string]string{"chat/chat.go": hundred()}), "chat"))
	out := newCapture()
	resident := 0
	for b.Loop() {
		i, err := StartProcess(b.Context(), s, out)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := i.Start(); err != nil {
			b.Fatal(err)
		}
		resident = kilobytes(i.PID(), "VmRSS:")
		i.Stop(0)
		<-i.Done()
		b.StartTimer()
	}
	b.ReportMetric(float64(resident), "KB-resident")
}

func BenchmarkStartGoroutines(b *testing.B) {
	s := spec(source(b, project(b, map[string]string{"chat/chat.go": hundred()}), "chat"))
	out := newCapture()
	for b.Loop() {
		i, err := StartGoroutines(b.Context(), s, out, func() (api.Session, error) { return &testSession{id: s.identity()}, nil })
		if err != nil {
			b.Fatal(err)
		}
		i.Stop(0)
		<-i.Done()
	}
}

// kilobytes reads one number of /proc/<pid>/status, 0 where there is none.
func kilobytes(pid int, name string) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
