package memory

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// onDisk counts the records in the file of an open memory.
func onDisk(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.exclusively(t.Context(), func() error {
		return s.disk.view(func(_ diskHeader, tx *bbolt.Tx) error {
			n = tx.Bucket(bucketRecords).Stats().KeyN
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	n, err := s.Count(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExpiredIsGoneAtOnceAndFromDiskSoon(t *testing.T) {
	path := temp(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(path, Options{Embedder: Hashing(4)})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		add(t, s, api.Record{ID: "stays", Text: "x"}, api.Record{ID: "late", Text: "x", Expires: now.Add(time.Hour)},
			api.Record{ID: "soon", Text: "x", Expires: now.Add(time.Minute)}, api.Record{ID: "over", Text: "x", Expires: now})
		for _, step := range []struct {
			wait        time.Duration
			there, disk int
		}{{0, 3, 4}, {sweepDelay, 3, 3}, {time.Minute - sweepDelay - 1, 3, 3}, {1, 2, 3}, {sweepDelay, 2, 2}, {time.Hour, 1, 1}} {
			time.Sleep(step.wait)
			synctest.Wait()
			if n := count(t, s); n != step.there {
				t.Errorf("after %v there are %d, want %d", time.Since(now), n, step.there)
			}
			// Not through Add or such: those sweep, too.
			n := len(s.view.Load().snap.Oldest(10))
			if n != step.disk {
				t.Errorf("after %v the table has %d, want %d", time.Since(now), n, step.disk)
			}
		}
		if n := onDisk(t, s); n != 1 {
			t.Errorf("%d are on disk", n)
		}
		matches, err := s.Query(t.Context(), api.Query{Text: "x"})
		if err != nil || len(matches) != 1 {
			t.Errorf("%v, %v", matches, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTTLAndLimit(t *testing.T) {
	path := temp(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(path, Options{Embedder: Hashing(4)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			add(t, s, api.Record{ID: fmt.Sprint(i), Text: "x"})
			time.Sleep(time.Minute)
		}
		if err := s.Configure(t.Context(), Settings{TTL: 8 * time.Minute, Limit: 5}); err != nil {
			t.Fatal(err)
		}
		if n := onDisk(t, s); n != 5 {
			t.Errorf("%d are on disk after the limit", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second) // 5 and 6 are 6½ and 5½ minutes old, and stay
		s, err = Open(path, Options{Embedder: Hashing(4)})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Settings(); got != (Settings{TTL: 8 * time.Minute, Limit: 5}) {
			t.Errorf("settings %+v after opening again", got)
		}
		for _, step := range []struct {
			wait  time.Duration
			there int
		}{{0, 5}, {90*time.Second - 1, 5}, {1, 4}, {time.Minute, 3}, {time.Hour, 0}} {
			time.Sleep(step.wait)
			if n := count(t, s); n != step.there {
				t.Errorf("%v: there are %d, want %d", step.wait, n, step.there)
			}
		}
		if err := s.Configure(t.Context(), Settings{Limit: 2}); err != nil {
			t.Fatal(err)
		}
		// The oldest by time go, also if they come last.
		add(t, s, api.Record{ID: "a", Time: start.Add(2)}, api.Record{ID: "b", Time: start.Add(1 * time.Hour)}, api.Record{ID: "c", Time: start.Add(-time.Hour)})
		add(t, s, api.Record{ID: "d", Time: start.Add(time.Minute)}, api.Record{ID: "e", Time: start.Add(-2 * time.Hour)})
		if got := get(t, s, api.Selection{}); len(got) != 2 || got[0].ID != "b" || got[1].ID != "d" {
			t.Errorf("got %v", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestExpiriesComeInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	var e expiries
	var want []time.Time
	for range 1000 {
		at := start.Add(time.Duration(random.IntN(500)) * time.Second)
		e.push(&table.Row{Record: api.Record{Expires: at}})
		want = append(want, at)
	}
	e.push(&table.Row{})
	slices.SortFunc(want, time.Time.Compare)
	for now := start; now.Before(start.Add(500 * time.Second)); now = now.Add(7 * time.Second) {
		e.pop(now)
		want = slices.DeleteFunc(want, func(at time.Time) bool { return !at.After(now) })
		if len(e) != len(want) || len(want) > 0 && !e.first().Equal(want[0]) {
			t.Fatalf("%d are left, the first at %v, want %d from %v", len(e), e.first(), len(want), want[0])
		}
	}
}
