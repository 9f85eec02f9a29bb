package mailbox

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const crashWriters = 4

// crashChild is the process that TestKilledHostsLoseNothingAcknowledged kills. Its writers put durable messages into two
// boxes, as fast as they can, and print the ID of each once Put has returned. A reader takes and acknowledges those of the second
// box, and prints them before it acknowledges.
func crashChild(path string) {
	s, r, err := Open(path, Options{Durable: true, Limit: 1 << 30})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	round := os.Getenv("MAILBOX_CRASH_ROUND")
	fmt.Println("open", r.Cut)
	var out sync.Mutex
	say := func(what string, m api.Message) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(what, m.ID) // one write to the pipe: what was printed is seen, also when this process is killed
	}
	for w := range crashWriters {
		box := s.Box([]string{"kept", "read"}[w%2])
		go func() {
			for i := 0; ; i++ {
				m := api.Message{ID: fmt.Sprintf("%s:%d:%d", round, w, i), Text: strings.Repeat("x", i%500)}
				if _, err := box.Put(context.Background(), m); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				say("put", m)
			}
		}()
	}
	reader := s.Box("read").Open()
	for {
		m, err := reader.Next(context.Background())
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		say("read", m)
		reader.Ack(m.Seq)
	}
}

func TestKilledHostsLoseNothingAcknowledged(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	path := filepath.Join(t.TempDir(), "journal")
	var (
		kept  []string            // IDs acknowledged in box "kept"
		taken = map[string]bool{} // acknowledged in box "read", and whether it was read
	)
	const rounds = 15
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "MAILBOX_CRASH_JOURNAL="+path, fmt.Sprintf("MAILBOX_CRASH_ROUND=%d", round))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "open ") {
			t.Fatalf("child says %q", lines.Text())
		}
		timer := time.AfterFunc(time.Duration(5+random.IntN(150))*time.Millisecond, func() { child.Process.Kill() })
		for lines.Scan() {
			what, id, _ := strings.Cut(lines.Text(), " ")
			var r, w, i int // a line is one write to the pipe, so that no kill tears it
			if _, err := fmt.Sscanf(id, "%d:%d:%d", &r, &w, &i); err != nil {
				t.Fatalf("child says %q", lines.Text())
			}
			switch {
			case what == "read":
				taken[id] = true
			case w%2 == 1:
				taken[id] = taken[id]
			default:
				kept = append(kept, id)
			}
		}
		timer.Stop()
		if err := child.Wait(); err == nil {
			t.Fatal("child ended by itself")
		}
	}
	if len(kept) < rounds {
		t.Fatalf("only %d messages were acknowledged: the test shows nothing", len(kept))
	}

	s := mustOpen(t, path, Options{})
	position := map[string]int{}
	last := map[string]int{}
	for n, m := range s.Box("kept").Waiting() {
		if _, twice := position[m.ID]; twice {
			t.Fatalf("message %s is there twice", m.ID)
		}
		position[m.ID] = n
		var r, w, i int
		if _, err := fmt.Sscanf(m.ID, "%d:%d:%d", &r, &w, &i); err != nil {
			t.Fatal(err)
		}
		writer := fmt.Sprint(r, w)
		if before, ok := last[writer]; ok && i != before+1 || !ok && i != 0 {
			t.Fatalf("message %s comes after number %d of the same writer", m.ID, before)
		}
		last[writer] = i
	}
	for _, id := range kept {
		if _, ok := position[id]; !ok {
			t.Fatalf("acknowledged message %s is lost", id)
		}
	}
	waiting := map[string]bool{}
	for _, m := range s.Box("read").Waiting() {
		waiting[m.ID] = true
	}
	for id, read := range taken {
		if !read && !waiting[id] {
			t.Fatalf("acknowledged message %s was neither read nor kept", id)
		}
	}
	t.Logf("%d kept, %d read or to be read, over %d kills", len(kept), len(taken), rounds)
}
