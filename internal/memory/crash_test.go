package memory

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// The crash tests run this test binary again as the process to be killed.
const crashEnv, crashPathEnv = "COMA_TEST_MEMORY_CRASH", "COMA_TEST_MEMORY_PATH"

func TestMain(m *testing.M) {
	work := map[string]func(context.Context, *Store, string) error{"add": addForever, "restore": restoreForever,
		"items": itemsForever, "reembed": reembedForever, "expire": expireForever, "paced": addPaced, "full": fillDisk}[os.Getenv(crashEnv)]
	if work == nil {
		os.Exit(m.Run())
	}
	path := os.Getenv(crashPathEnv)
	s, err := Open(path, crashOptions)
	if err == nil {
		err = work(context.Background(), s, path)
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// crashOptions open the memories of the crash tests: they may be of either of two embedders.
var crashOptions = Options{Embedder: Hashing(16), TimeKey: timeKey, Embedders: func(string) (Embedder, error) { return turned{Hashing(16)}, nil }}

// sayer prints what is acknowledged, a line at a time.
type sayer struct{ sync.Mutex }

func (s *sayer) say(format string, args ...any) {
	s.Lock()
	defer s.Unlock()
	fmt.Printf(format+"\n", args...)
}

// itemsForever writes generations of items: item n/w of generation g has the metadata {"g": g} and a document of it.
func itemsForever(ctx context.Context, s *Store, _ string) error {
	failed := make(chan error)
	var out sayer
	for w := range 3 {
		go func() {
			for g := 1; ; g++ {
				var items []Item
				for n := range 5 {
					document := strings.Repeat(fmt.Sprint("generation ", g, " "), 30)
					items = append(items, Item{ID: fmt.Sprintf("%d-%d", w, n), Document: &document, Vector: make([]float32, 16),
						Metadata: map[string]any{"g": g, timeKey: float64(g)}})
				}
				if err := s.WriteItems(ctx, UpsertItems, items); err != nil {
					failed <- err
					return
				}
				if err := s.AddReferences(ctx, []string{items[0].ID}); err != nil {
					failed <- err
					return
				}
				out.say("%d %d", w, g)
			}
		}()
	}
	return <-failed
}

// reembedForever converts to and fro, and compacts, while it adds.
func reembedForever(ctx context.Context, s *Store, _ string) error {
	failed := make(chan error)
	var out sayer
	n, err := s.Count(ctx, nil)
	if err != nil {
		return err
	}
	go func() {
		for i := 0; ; i++ {
			var e Embedder = Hashing(16)
			if i%2 == 0 {
				e = turned{Hashing(16)}
			}
			if err := s.Reembed(ctx, e, nil); err != nil {
				failed <- err
				return
			}
			if err := s.Compact(ctx); err != nil {
				failed <- err
				return
			}
			out.say("reembedded")
		}
	}()
	go func() {
		for i := 0; ; i++ {
			id := fmt.Sprintf("%d-%d", n, i)
			if _, err := s.Add(ctx, []api.Record{{ID: id, Text: "text of " + id}}); err != nil {
				failed <- err
				return
			}
			out.say("added %s", id)
		}
	}()
	return <-failed
}

// expireForever adds to a memory that keeps 50 records, half of them expired before they come.
func expireForever(ctx context.Context, s *Store, _ string) error {
	if err := s.Configure(ctx, Settings{Limit: 50}); err != nil {
		return err
	}
	for i := 0; ; i++ {
		now := time.Now()
		if _, err := s.Add(ctx, []api.Record{{Text: "stays", Time: now}, {Text: "goes", Time: now, Expires: now}}); err != nil {
			return err
		}
		fmt.Println("added")
	}
}

// addPaced adds, updates and deletes 60 times and prints what is acknowledged: for the power cut test.
func addPaced(ctx context.Context, s *Store, _ string) error {
	for i := range 60 {
		id := fmt.Sprint(i)
		if _, err := s.Add(ctx, []api.Record{{ID: id, Text: strings.Repeat("text of "+id+" ", 20*(1+i%7))}}); err != nil {
			return err
		}
		fmt.Printf("added %s\n", id)
		if i%9 == 8 {
			if _, err := s.Delete(ctx, []string{fmt.Sprint(i - 4)}, nil); err != nil {
				return err
			}
			fmt.Printf("deleted %d\n", i-4)
		}
		if i%20 == 19 {
			if err := s.Compact(ctx); err != nil {
				return err
			}
			fmt.Println("compacted")
		}
	}
	return nil
}

// addForever adds, updates and deletes from 4 goroutines, and prints what is acknowledged.
func addForever(ctx context.Context, s *Store, _ string) error {
	n, err := s.Count(ctx, nil)
	if err != nil {
		return err
	}
	failed := make(chan error)
	var out sayer
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", n, w, i)
				if _, err := s.Add(ctx, []api.Record{{ID: id, Text: strings.Repeat("text of "+id+" ", 20)}}); err != nil {
					failed <- err
					return
				}
				out.say("added %s", id)
				if i%10 == 9 {
					if _, err := s.Delete(ctx, []string{id}, nil); err != nil {
						failed <- err
						return
					}
					out.say("deleted %s", id)
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
		s, err := Open(path, crashOptions)
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
		s, err := Open(path, crashOptions)
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

func TestKilledItemsAreOfOneGeneration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plant.db")
	random := rand.New(rand.NewPCG(5, 6))
	for kill := range 8 {
		acknowledged := map[string]int{}
		for _, line := range killAfter(t, "items", path, 1+random.IntN(100)) {
			var w string
			var g int
			if _, err := fmt.Sscan(line, &w, &g); err != nil {
				t.Fatal(err)
			}
			acknowledged[w] = g
		}
		s := open(t, path, crashOptions)
		for w, g := range acknowledged {
			var ids []string
			for n := range 5 {
				ids = append(ids, fmt.Sprintf("%s-%d", w, n))
			}
			items, err := s.Items(t.Context(), ItemSelection{IDs: ids})
			if err != nil || len(items) != 5 {
				t.Fatalf("kill %d: %d items of writer %s: %v", kill, len(items), w, err)
			}
			got := items[0].Metadata["g"].(int64)
			if got < int64(g) {
				t.Errorf("kill %d: writer %s is at generation %d, acknowledged %d", kill, w, got, g)
			}
			for _, item := range items {
				if item.Metadata["g"] != got || *item.Document != strings.Repeat(fmt.Sprint("generation ", got, " "), 30) {
					t.Errorf("kill %d: item %+v among those of generation %d", kill, item, got)
				}
			}
			if n := s.References(ids[:1])[0]; n < uint64(g) {
				t.Errorf("kill %d: %d references, acknowledged %d", kill, n, g)
			}
		}
		if err := errors.Join(s.Close(), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilledReembedIsWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plant.db")
	random := rand.New(rand.NewPCG(7, 8))
	there := map[string]bool{}
	for kill := range 10 {
		for _, line := range killAfter(t, "reembed", path, 1+random.IntN(60)) {
			if id, ok := strings.CutPrefix(line, "added "); ok {
				there[id] = true
			}
		}
		s := open(t, path, crashOptions)
		info, err := s.Info()
		if err != nil {
			t.Fatal(err)
		}
		var e Embedder = Hashing(16)
		if info.Embedder == "turned" {
			e = turned{e}
		}
		stored := 0
		for _, r := range get(t, s, api.Selection{Vectors: true}) {
			made, err := e.Embed(t.Context(), []string{r.Text})
			if err != nil || !slices.Equal(made[0], r.Vector) {
				t.Fatalf("kill %d: record %+v has not the vector of %s: %v", kill, r, info.Embedder, err)
			}
			if there[r.ID] {
				stored++
			}
		}
		if stored != len(there) {
			t.Fatalf("kill %d: %d of %d acknowledged records are there", kill, stored, len(there))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("kill %d: left behind: %v, %v", kill, entries, err)
		}
	}
}

func TestKilledExpiryKeepsToItsRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plant.db")
	random := rand.New(rand.NewPCG(9, 10))
	for kill := range 6 {
		killAfter(t, "expire", path, 30+random.IntN(60))
		s := open(t, path, crashOptions)
		records := get(t, s, api.Selection{})
		if len(records) == 0 || len(records) > 50 {
			t.Errorf("kill %d: %d records", kill, len(records))
		}
		for _, r := range records {
			if r.Text != "stays" {
				t.Errorf("kill %d: %+v is still there", kill, r)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
