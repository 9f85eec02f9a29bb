package stdlib

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// cold is set in a process that is to do one cold import.
const cold = "COMA_STDLIB_COLD"

func TestMain(m *testing.M) {
	if os.Getenv(cold) != "" {
		start := time.Now()
		for _, path := range []string{"fmt", "context", "github.com/concurrent-modular-agent/coma", "net/http"} {
			if _, err := Import(path); err != nil {
				panic(err)
			}
		}
		os.Stdout.WriteString(time.Since(start).String())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A fresh process imports what a module with an HTTP client does.
func BenchmarkImportCold(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	var total time.Duration
	for b.Loop() {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), cold+"=1")
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		took, err := time.ParseDuration(string(out))
		if err != nil {
			b.Fatal(err)
		}
		total += took
	}
	b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms/import")
	b.ReportMetric(0, "ns/op") // of a process, which is not what is measured
}

func BenchmarkImportWarm(b *testing.B) {
	for b.Loop() {
		if _, err := Import("net/http"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSymbols(b *testing.B) {
	for b.Loop() {
		Symbols("net/http")
	}
}
