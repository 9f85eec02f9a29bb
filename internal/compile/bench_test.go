//go:build unix

package compile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/compile"
	"github.com/concurrent-modular-agent/coma/internal/module"
)

// BenchmarkEdit is the time from an edit of a module of 100 lines to its process that waits for the word to start: what
// "engine: go" costs where the interpreter takes milliseconds. The parts are reported beside it.
func BenchmarkEdit(b *testing.B) {
	needToolchain(b)
	var more strings.Builder
	for i := range 30 {
		fmt.Fprintf(&more, "\nfunc step%d(words []string) string {\n\treturn strings.Join(words, fmt.Sprint(%d))\n}\n", i, i)
	}
	spec := write(b, files{"chat/chat.go": program("chat", `fmt.Println(step0(nil))`, "fmt", "strings") + more.String()}, "chat")
	name := spec.GoFiles[0]
	original := spec.Text[name]
	edit := func(n int) (compiled, loaded time.Duration) {
		began := time.Now()
		spec.Text = map[string]string{name: original + fmt.Sprintf("\nvar edited = %d\n", n)}
		executable, err := compile.Module(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		compiled = time.Since(began)
		instance, err := module.StartProcess(b.Context(), module.Spec{
			Source: moduleSource(spec), Agent: agentName, Generation: 1, Executable: []string{executable},
		}, newCapture())
		if err != nil {
			b.Fatal(err)
		}
		loaded = time.Since(began) - compiled
		instance.Stop(0)
		<-instance.Done()
		return compiled, loaded
	}
	edit(-1) // the first build of all compiles coma's own packages too
	var compiled, loaded time.Duration
	n := 0
	for b.Loop() {
		c, l := edit(n)
		compiled, loaded = compiled+c, loaded+l
		n++
	}
	b.ReportMetric(float64(compiled.Milliseconds())/float64(n), "ms/compile")
	b.ReportMetric(float64(loaded.Milliseconds())/float64(n), "ms/load")
}
