package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// threeHundred is a module of about 300 lines that imports ten packages, net/http among them.
func threeHundred() []byte {
	var text strings.Builder
	text.WriteString(`package planner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

var errTooLate = errors.New("too late")

func Run(ctx context.Context, agent *coma.Agent) error {
	var all sync.WaitGroup
	defer all.Wait()
	for ctx.Err() == nil {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		all.Go(func() { agent.Log(strings.ToUpper(msg.Text)) })
	}
	return ctx.Err()
}
`)
	for i := range 9 {
		fmt.Fprintf(&text, `
type goal%[1]d struct {
	Name string        %[2]sjson:"name"%[2]s
	Due  time.Duration %[2]sjson:"due"%[2]s
	done bool
}

func (g *goal%[1]d) fetch(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("fetch %%s: %%w", g.Name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errTooLate
	}
	return json.NewDecoder(response.Body).Decode(g)
}

func soonest%[1]d(goals []goal%[1]d) (goal%[1]d, bool) {
	slices.SortFunc(goals, func(a, b goal%[1]d) int { return int(a.Due - b.Due) })
	for _, g := range goals {
		if !g.done {
			return g, true
		}
	}
	return goal%[1]d{}, false
}
`, i, "`")
	}
	return []byte(text.String())
}

func checkThreeHundred(t testing.TB) {
	fset := token.NewFileSet()
	file, wrong := Parse(fset, "planner.go", threeHundred())
	if len(wrong) == 0 {
		var checked []*Checked
		if checked, wrong = Check(fset, []Package{{Path: "p", Name: "planner", Files: []*ast.File{file}}}); len(wrong) == 0 {
			wrong = Refused(fset, checked)
		}
	}
	if len(wrong) > 0 {
		t.Fatal(say(fset, wrong))
	}
}

// BenchmarkWarm is the check of a module in a process that has checked one before.
func BenchmarkWarm(b *testing.B) {
	for b.Loop() {
		checkThreeHundred(b)
	}
}

// BenchmarkCold is the check of a module as the first thing that a process does, without the start of the process.
func BenchmarkCold(b *testing.B) {
	var total time.Duration
	n := 0
	for b.Loop() {
		command := exec.Command(os.Args[0], "-test.run", "^TestCold$", "-test.v")
		command.Env = append(os.Environ(), coldVariable+"=1")
		out, err := command.Output()
		if err != nil {
			b.Fatal(err)
		}
		_, after, ok := strings.Cut(string(out), "cold: ")
		took, err := time.ParseDuration(strings.Fields(after)[0])
		if !ok || err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		total += took
		n++
	}
	b.ReportMetric(float64(total.Microseconds())/1000/float64(n), "ms-cold")
}

const coldVariable = "COMA_CHECK_COLD"

// TestCold is the process of BenchmarkCold.
func TestCold(t *testing.T) {
	if os.Getenv(coldVariable) == "" {
		t.Skip("for BenchmarkCold alone")
	}
	began := time.Now()
	checkThreeHundred(t)
	t.Logf("cold: %v ", time.Since(began))
}
