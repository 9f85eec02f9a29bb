package soak

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write replaces a file as many editors do: by a rename.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// TestReloadStorm edits modules, well and badly, while they exchange numbered messages: none is lost, none comes out of
// order, and none is handled twice, since all modules stop cleanly.
func TestReloadStorm(t *testing.T) {
	random := seeded(t)
	h := newHome(t)
	dir := h.project("storm", storm)
	r := h.run("--debounce", "10ms", dir)
	at := 0
	for range 3 {
		_, at = r.Await(at, "start of a module", func(l event) bool { return l.Event == "started" })
	}
	files := []string{"source/source.go", "relay/relay.go", "sink/sink.go"}
	edits, bad := long(300, 40), 0
	for i := range edits {
		file := files[random.IntN(len(files))]
		name := filepath.Dir(file)
		from := len(r.Events())
		if random.IntN(4) == 0 {
			bad++
			write(t, filepath.Join(dir, file), storm[file]+"\nfunc broken( {\n// "+strconv.Itoa(i))
			r.Await(from, "load error of "+name, func(l event) bool { return l.Module == name && l.Event == "load failed" })
			continue
		}
		write(t, filepath.Join(dir, file), storm[file]+"\n// "+strconv.Itoa(i)+"\n")
		r.Await(from, "reload of "+name, func(l event) bool { return l.Module == name && l.Event == "reloaded" })
	}
	from := len(r.Events())
	r.Await(from, "message after the storm", func(l event) bool { return l.Module == "sink" && strings.HasPrefix(l.Text, "got") })
	r.Stop()
	got := r.numbers("sink")
	for i, n := range got {
		if n != i+1 {
			t.Fatalf("message %d of %d is number %d", i+1, len(got), n)
		}
	}
	t.Logf("%d edits (%d bad), %d messages in order", edits, bad, len(got))
}

// TestCrashStorm kills modules with kill -9 under load: no message is lost.
func TestCrashStorm(t *testing.T) {
	random := seeded(t)
	h := newHome(t)
	dir := h.project("storm", storm)
	r := h.run("--no-watch", "--restart-delay", "2ms", dir)
	names := []string{"source", "relay", "sink"}
	at := 0
	for range names {
		_, at = r.Await(at, "start of a module", func(l event) bool { return l.Event == "started" })
	}
	kills := long(200, 30)
	for range kills {
		name := names[random.IntN(len(names))]
		from := len(r.Events())
		if err := syscall.Kill(r.pid(name), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_, from = r.Await(from, "restart of "+name, func(l event) bool { return l.Module == name && l.Event == "restarted" })
		r.Await(from, "message after a kill", func(l event) bool { return l.Module == "sink" && strings.HasPrefix(l.Text, "got") })
	}
	last := slices.Max(r.numbers("sink"))
	from := len(r.Events())
	r.Await(from, "messages to catch up", func(l event) bool { return l.Module == "sink" && l.Text == fmt.Sprint("got ", last+50) })
	r.Stop()
	missing(t, r.numbers("sink"), last)
	t.Logf("%d kills, %d messages up to %d, none missing", kills, len(r.numbers("sink")), last)
}

// missing fails for numbers from 1 to last that are not there.
func missing(t *testing.T, got []int, last int) {
	t.Helper()
	there := map[int]bool{}
	for _, n := range got {
		there[n] = true
	}
	for n := 1; n <= last; n++ {
		if !there[n] {
			t.Errorf("message %d is missing", n)
		}
	}
}

// TestHostStorm kills the host with kill -9 and starts it again: in a durable agent no message is lost, and no memory
// record is that was acknowledged; and no module process is left behind.
func TestHostStorm(t *testing.T) {
	random := seeded(t)
	h := newHome(t)
	files := map[string]string{"coma.yaml": "durable: true\n"}
	for path, text := range storm {
		files[path] = strings.Replace(text, "2*time.Millisecond", "5*time.Millisecond", 1)
	}
	files["writer/writer.go"] = `package writer

import (
	"context"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	return agent.Every(ctx, 5*time.Millisecond, func(ctx context.Context) error {
		id, err := agent.Memory.Add(ctx, "a thought")
		if err != nil {
			return err
		}
		agent.Log("remembered", id)
		return nil
	})
}
`
	dir := h.project("storm", files)
	var got []int
	var acknowledged []string
	kills := long(20, 4)
	for i := range kills + 1 {
		r := h.run("--no-watch", dir)
		at := 0
		wait := 20 + random.IntN(40)
		for range wait {
			_, at = r.Await(at, "message", func(l event) bool { return l.Module == "sink" && strings.HasPrefix(l.Text, "got") })
		}
		if i < kills {
			pids := []int{r.pid("source"), r.pid("relay"), r.pid("sink"), r.pid("writer")}
			r.Kill()
			gone(t, pids)
		} else {
			r.Await(len(r.Events()), "another message", func(l event) bool { return l.Module == "sink" && strings.HasPrefix(l.Text, "got") })
			r.Stop()
		}
		got = append(got, r.numbers("sink")...)
		for _, l := range r.Events() {
			if id, ok := strings.CutPrefix(l.Text, "remembered "); ok {
				acknowledged = append(acknowledged, id)
			}
		}
	}
	missing(t, got, slices.Max(got))
	stored := map[string]bool{}
	var records []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(h.Coma("", "memory", "show", "storm", "-n", "0", "--json")), &records); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		stored[r.ID] = true
	}
	for _, id := range acknowledged {
		if !stored[id] {
			t.Errorf("record %s was acknowledged and is lost", id)
		}
	}
	t.Logf("%d kills, %d messages, %d records acknowledged, %d stored", kills, len(got), len(acknowledged), len(stored))
}

// gone waits for processes to end.
func gone(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for _, pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("module process %d has outlived its host", pid)
			}
			time.Sleep(time.Millisecond) // there is no event to wait for: the process is nobody's child any more
		}
	}
}

// alive reports whether a thread of a process runs: one that was killed lets go of its locks only with the last, while the
// first, which stands for the process, may be a zombie already. (A zombie that nobody has buried is not alive.)
func alive(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X") {
			return true
		}
	}
	return false
}
