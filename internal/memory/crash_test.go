package memory

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// The crash tests run this test binary again as the process to be killed.
const crashEnv, crashPathEnv = "COMA_TEST_MEMORY_CRASH", "COMA_TEST_MEMORY_PATH"

func TestMain(m *testing.M) {
	work := map[string]func(context.Context, *Store, string) error{"add": addForever, "restore": restoreForever}[os.Getenv(crashEnv)]
	if work == nil {
		os.Exit(m.Run())
	}
	path := os.Getenv(crashPathEnv)
	s, err := Open(path, Options{Embedder: Hashing(16)})
	if err == nil {
		err = work(context.Background(), s, path)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// addForever adds, updates and deletes from 4 goroutines, and prints what is acknowledged.
func addForever(ctx context.Context, s *Store, _ string) error {
	n, err := s.Count(ctx, nil)
	if err != nil {
		return err
	}
	failed := make(chan error)
	var printing sync.Mutex
	say := func(format string, args ...any) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", n, w, i)
				if _, err := s.Add(ctx, []api.Record{{ID: id, Text: strings.Repeat("text of "+id+" ", 20)}}); err != nil {
					failed <- err
					return
				}
				say("added %s", id)
				if i%10 == 9 {
					if _, err := s.Delete(ctx, []string{id}, nil); err != nil {
						failed <- err
						return
					}
					say("deleted %s", id)
				}
			}
		}()
	}
	return <-failed
}

// restoreForever restores backup a and backup b in turn.
func restoreForever(ctx context.Context, s *Store, path string) error {
	for i := 0; ; i++ {
		if _, err := s.RestoreFile(ctx, path+"."+"ab"[i%2:i%2+1]+".json", RestoreOptions{Replace: true}); err != nil {
			return err
		}
		fmt.Println("restored")
	}
}

// killAfter runs the work, kills it -9 after some lines and returns all whole lines that it printed.
func killAfter(t *testing.T, work, path string, lines int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+work, crashPathEnv+"="+path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	reader := bufio.NewReader(out)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			break // a half line was not acknowledged
		}
		said = append(said, strings.TrimSuffix(line, "\n"))
		if len(said) == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // "signal: killed"
	if len(said) < lines {
		t.Fatalf("it ended by itself after %d lines: %s", len(said), stderr.String())
	}
	return said
}

func TestKilledNineTimesLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plant.db")
	random := rand.New(rand.NewPCG(1, 2))
	there := map[string]bool{} // false: was deleted
	for kill := range 15 {
		for _, line := range killAfter(t, "add", path, 1+random.IntN(200)) {
			verb, id, _ := strings.Cut(line, " ")
			there[id] = verb == "added"
		}
		s, err := Open(path, Options{Embedder: Hashing(16)})
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		stored := map[string]bool{}
		for _, r := range get(t, s, api.Selection{}) {
			stored[r.ID] = true
			if r.Text != strings.Repeat("text of "+r.ID+" ", 20) {
				t.Fatalf("kill %d: record %s is torn: %q", kill, r.ID, r.Text)
			}
		}
		for id, want := range there {
			// A deletion may have been done and not yet said.
			if want && !stored[id] && !strings.HasSuffix(id, "9") || !want && stored[id] {
				t.Fatalf("kill %d: record %s: stored %v, acknowledged %v", kill, id, stored[id], want)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilledRestoreIsWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plant.db")
	const a, b = 300, 500
	for name, n := range map[string]int{"a": a, "b": b} {
		source := open(t, temp(t), Options{Embedder: Hashing(16)})
		records := make([]api.Record, n)
		for i := range records {
			records[i] = api.Record{ID: fmt.Sprint(name, i), Text: strings.Repeat(name, 500)}
		}
		add(t, source, records...)
		if _, err := source.BackupFile(t.Context(), path+"."+name+".json"); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for kill := range 8 {
		killAfter(t, "restore", path, 1+random.IntN(6))
		s, err := Open(path, Options{Embedder: Hashing(16)})
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		records := get(t, s, api.Selection{})
		if len(records) != a && len(records) != b {
			t.Fatalf("kill %d: %d records, neither %d nor %d", kill, len(records), a, b)
		}
		name := map[int]string{a: "a", b: "b"}[len(records)]
		for _, r := range records {
			if !strings.HasPrefix(r.ID, name) {
				t.Fatalf("kill %d: record %s among those of %s", kill, r.ID, name)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
