package soak

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/runtest"
)

// middle is a module whose first generation is at its message when it is asked to stop, and then does as END says. The
// next generations tell what they get.
const middle = `package middle

import (
	"context"
	"fmt"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		agent.Log("WORD", msg.Text, msg.Deaths)
		if FIRST {
			<-ctx.Done()
			END
		}
	}
}

var _ = fmt.Errorf
`

// TestAnEditInTheMiddleOfAMessage: what a module has not come to the end of comes again, and nothing else does.
func TestAnEditInTheMiddleOfAMessage(t *testing.T) {
	for _, isolation := range []string{"process", "none"} {
		for _, test := range []struct{ name, end, next string }{
			{"what it waited for was cut short", `return fmt.Errorf("think: %w", ctx.Err())`, "then long 0"},
			{"it came to its end", `return nil`, "then next 0"},
			{"it asked for the next one", `continue`, "then next 0"},
			{"it asked whether there is a next one", `_, _, err := agent.TryReceive(ctx); return err`, "then next 0"},
		} {
			t.Run(test.name+"/"+isolation, func(t *testing.T) {
				t.Parallel()
				h := newHome(t)
				source := strings.NewReplacer("WORD", "first", "FIRST", `msg.Text == "long"`, "END", test.end).Replace(middle)
				dir := h.project("garden", map[string]string{"middle/middle.go": source, "coma.yaml": "isolation: " + isolation + "\n"})
				r := h.Run(dir)
				defer r.Stop()
				said := func(word string) string {
					e, _ := r.Await(0, "its log", func(e runtest.Event) bool { return strings.HasPrefix(e.Text, word) })
					return e.Text
				}
				r.Await(0, "its start", func(e runtest.Event) bool { return e.Event == "started" })
				h.Coma("", "send", "garden/middle", "long")
				if got := said("first "); got != "first long 0" {
					t.Fatalf("the module says %q", got)
				}
				h.Coma("", "send", "garden/middle", "next")
				source = strings.NewReplacer("WORD", "then", "FIRST", "false", "END", "return nil").Replace(middle)
				if err := os.WriteFile(filepath.Join(dir, "middle", "middle.go"), []byte(source), 0o644); err != nil {
					t.Fatal(err)
				}
				if got := said("then "); got != test.next {
					t.Errorf("the next generation says %q, want %q", got, test.next)
				}
			})
		}
	}
}
