package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("MAILBOX_CRASH_JOURNAL"); path != "" {
		crashChild(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func mustOpen(t testing.TB, path string, opt Options) *Store {
	t.Helper()
	s, r, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	if r.Cut != 0 {
		t.Fatalf("journal is damaged: %+v", r)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustSync(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
}

func mustPut(t testing.TB, b *Box, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := b.Put(context.Background(), api.Message{ID: id, Text: "text of " + id}); err != nil {
			t.Fatal(err)
		}
	}
}

func mustNext(t testing.TB, r *Reader, id string) api.Message {
	t.Helper()
	m, err := r.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != id {
		t.Fatalf("next message is %q, want %q", m.ID, id)
	}
	return m
}

func ids(messages []api.Message) string {
	var ids []string
	for _, m := range messages {
		id := m.ID
		if m.Deaths > 0 {
			id = fmt.Sprintf("%s†%d", m.ID, m.Deaths)
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

func wantIDs(t testing.TB, what string, messages []api.Message, want string) {
	t.Helper()
	if got := ids(messages); got != want {
		t.Fatalf("%s: %q, want %q", what, got, want)
	}
}

// eachKind runs a test on a store in memory, one that writes behind, and a durable one.
func eachKind(t *testing.T, opt Options, test func(t *testing.T, s *Store)) {
	for _, name := range []string{"memory", "behind", "durable"} {
		t.Run(name, func(t *testing.T) {
			path := ""
			if name != "memory" {
				path = filepath.Join(t.TempDir(), "journal")
			}
			opt := opt
			opt.Durable = name == "durable"
			test(t, mustOpen(t, path, opt))
		})
	}
}

func TestMessagesComeInOrderWithAllTheyCarry(t *testing.T) {
	eachKind(t, Options{}, func(t *testing.T, s *Store) {
		b := s.Box("a/chat")
		r := b.Open()
		for i := range 100 {
			mustPut(t, b, fmt.Sprint(i))
		}
		for i := range 100 {
			m := mustNext(t, r, fmt.Sprint(i))
			if m.Seq != uint64(i+1) {
				t.Fatalf("message %d has seq %d", i, m.Seq)
			}
		}
		if b.Pending() != 0 || b.InHand() != 100 {
			t.Fatalf("pending %d, in hand %d", b.Pending(), b.InHand())
		}
		r.Ack(60)
		if b.InHand() != 40 {
			t.Fatalf("in hand %d after ack", b.InHand())
		}
		if _, ok, err := r.TryNext(); ok || err != nil {
			t.Fatalf("TryNext on an empty box: %v, %v", ok, err)
		}
	})
}

func TestManyWritersKeepTheirOwnOrder(t *testing.T) {
	eachKind(t, Options{Limit: 7}, func(t *testing.T, s *Store) {
		const writers, each = 8, 200
		b := s.Box("a/chat")
		var group sync.WaitGroup
		defer group.Wait()
		for w := range writers {
			group.Go(func() {
				for i := range each {
					if _, err := b.Put(context.Background(), api.Message{From: fmt.Sprint(w), Text: fmt.Sprint(i)}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		seen := map[string]int{}
		r := b.Open()
		for n := range writers * each {
			m, err := r.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if m.Seq != uint64(n+1) || m.Text != fmt.Sprint(seen[m.From]) {
				t.Fatalf("message %d: seq %d, writer %s, number %s, want %d", n, m.Seq, m.From, m.Text, seen[m.From])
			}
			seen[m.From]++
			r.Ack(m.Seq)
		}
		if b.Full() == 0 {
			t.Fatal("no writer had to wait")
		}
	})
}

func TestPutWaitsWhileTheBoxIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, "", Options{Limit: 2, MaxBytes: 100})
		b := s.Box("a/chat")
		r := b.Open()
		mustPut(t, b, "1", "2")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Put(ctx, api.Message{ID: "late"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Put into a full box: %v", err)
		}
		put := make(chan error, 3)
		for _, id := range []string{"3", "4"} {
			go func() {
				_, err := b.Put(t.Context(), api.Message{ID: id})
				put <- err
			}()
			synctest.Wait()
		}
		mustNext(t, r, "1")
		synctest.Wait()
		if len(put) != 0 {
			t.Fatal("Put did not wait for the acknowledgement")
		}
		r.Ack(1)
		synctest.Wait()
		if len(put) != 1 || <-put != nil {
			t.Fatal("one Put should have been let in")
		}
		r.Ack(mustNext(t, r, "2").Seq)
		r.Ack(mustNext(t, r, "3").Seq)
		r.Ack(mustNext(t, r, "4").Seq)
		if err := <-put; err != nil {
			t.Fatal(err)
		}

		// By bytes: one that is alone fits, the next waits.
		long := strings.Repeat("x", 1000)
		if _, err := b.Put(t.Context(), api.Message{ID: "long", Text: long}); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := b.Put(t.Context(), api.Message{ID: "short"})
			put <- err
		}()
		synctest.Wait()
		if len(put) != 0 {
			t.Fatal("Put did not wait for bytes")
		}
		r.Ack(mustNext(t, r, "long").Seq)
		if err := <-put; err != nil {
			t.Fatal(err)
		}
		if b.Full() != 4 {
			t.Fatalf("full %d", b.Full())
		}
	})
}

// A reader that holds less than the whole box in hand and asks for more must get it, although waiting senders are
// otherwise let in only once an eighth is free.
func TestSendersThatWaitAreLetInWhenTheReaderAsksForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, "", Options{Limit: 100})
		b := s.Box("a/chat")
		r := b.Open()
		for i := range 100 {
			mustPut(t, b, fmt.Sprint(i))
		}
		go b.Put(t.Context(), api.Message{ID: "last"})
		synctest.Wait()
		for i := range 100 {
			mustNext(t, r, fmt.Sprint(i))
		}
		r.Ack(1)
		mustNext(t, r, "last")
	})
}

func TestCloseAndRemoveEndWhatWaits(t *testing.T) {
	cases := []struct {
		name string
		end  func(*Store) error
		want error
		also error
	}{
		{"close", (*Store).Close, ErrClosed, api.ErrClosed},
		{"remove", func(s *Store) error { return s.Remove("a/chat") }, ErrRemoved, api.ErrUnknown},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mustOpen(t, "", Options{Limit: 1})
				b := s.Box("a/chat")
				r := b.Open()
				mustPut(t, b, "1")
				mustNext(t, r, "1")
				ended := make(chan error, 4)
				for range 2 {
					go func() { _, err := b.Put(t.Context(), api.Message{}); ended <- err }()
					go func() { _, err := r.Next(t.Context()); ended <- err }()
				}
				synctest.Wait()
				if len(ended) != 0 {
					t.Fatal("calls did not wait")
				}
				if err := c.end(s); err != nil {
					t.Fatal(err)
				}
				for range 4 {
					if err := <-ended; !errors.Is(err, c.want) || !errors.Is(err, c.also) {
						t.Fatalf("ended with %v", err)
					}
				}
				if _, err := b.Put(t.Context(), api.Message{}); !errors.Is(err, c.want) {
					t.Fatalf("Put afterwards: %v", err)
				}
				if n := b.PutOverwriting(api.Message{Topic: "t"}); n != 1 {
					t.Fatalf("PutOverwriting afterwards dropped %d", n)
				}
				r.Ack(1)
				r.Close(api.Died)
			})
		})
	}
	s := mustOpen(t, "", Options{})
	if err := s.Remove("nobody"); !errors.Is(err, api.ErrNotFound) {
		t.Fatalf("Remove of nothing: %v", err)
	}
}

func TestDeathsLeadToTheDeadLettersAndBack(t *testing.T) {
	eachKind(t, Options{MaxDeaths: 2}, func(t *testing.T, s *Store) {
		b := s.Box("a/chat")
		mustPut(t, b, "good", "bad", "next")
		r := b.Open()
		mustNext(t, r, "good")
		bad := mustNext(t, r, "bad")
		mustNext(t, r, "next")
		r.Ack(1)
		r.Begin(bad.Seq)
		r.Close(api.Died)
		wantIDs(t, "after a death", b.Waiting(), "bad†1 next")

		r = b.Open()
		r.Begin(mustNext(t, r, "bad").Seq)
		r.Close(api.Stopped)
		wantIDs(t, "after a stop", b.Waiting(), "bad†1 next")

		r = b.Open()
		mustNext(t, r, "bad")
		r.Close(api.Died) // not begun: no death of a message
		wantIDs(t, "after a death without it", b.Waiting(), "bad†1 next")

		r = b.Open()
		r.Begin(mustNext(t, r, "bad").Seq)
		r.Close(api.Died)
		wantIDs(t, "waiting", b.Waiting(), "next")
		wantIDs(t, "dead", b.Dead(), "bad†2")

		if _, err := b.Redeliver("next"); !errors.Is(err, api.ErrNotFound) {
			t.Fatalf("Redeliver of what is not dead: %v", err)
		}
		if n, err := b.Redeliver("bad"); n != 1 || err != nil {
			t.Fatalf("Redeliver: %d, %v", n, err)
		}
		wantIDs(t, "redelivered", b.Waiting(), "next bad")
		wantIDs(t, "dead", b.Dead(), "")

		r = b.Open()
		mustNext(t, r, "next")
		again := mustNext(t, r, "bad")
		if again.Seq <= 3 {
			t.Fatalf("redelivered under an old number %d", again.Seq)
		}
		r.Begin(again.Seq)
		r.Close(api.Finished)
		wantIDs(t, "after finishing", b.Waiting(), "")
		if _, err := r.Next(t.Context()); !errors.Is(err, api.ErrClosed) {
			t.Fatalf("Next of a closed reader: %v", err)
		}
	})
}

func TestDeadLettersAreBounded(t *testing.T) {
	s := mustOpen(t, "", Options{MaxDeaths: 1})
	b := s.Box("a/chat")
	for i := range maxDead + 2 {
		mustPut(t, b, fmt.Sprint(i))
		r := b.Open()
		r.Begin(mustNext(t, r, fmt.Sprint(i)).Seq)
		r.Close(api.Died)
	}
	dead := b.Dead()
	if len(dead) != maxDead || dead[0].ID != "2" {
		t.Fatalf("%d dead letters, the first %s", len(dead), dead[0].ID)
	}
	if n, err := b.DropDead("2", "5"); n != 2 || err != nil {
		t.Fatalf("DropDead: %d, %v", n, err)
	}
	if n, err := b.DropDead(); n != maxDead-2 || err != nil {
		t.Fatalf("DropDead of all: %d, %v", n, err)
	}
}

func TestANewReaderTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, "", Options{})
		b := s.Box("a/chat")
		mustPut(t, b, "1", "2", "3")
		old := b.Open()
		mustNext(t, old, "1")
		old.Begin(mustNext(t, old, "2").Seq)
		mustNext(t, old, "3")
		ended := make(chan error, 2)
		for range 2 {
			go func() { _, err := old.Next(t.Context()); ended <- err }()
		}
		synctest.Wait()
		r := b.Open()
		for range 2 {
			if err := <-ended; !errors.Is(err, api.ErrReplaced) {
				t.Fatalf("old reader: %v", err)
			}
		}
		old.Ack(3)
		old.Close(api.Died)
		if _, _, err := old.TryNext(); !errors.Is(err, api.ErrReplaced) {
			t.Fatalf("old reader: %v", err)
		}
		wantIDs(t, "waiting", b.Waiting(), "1 2 3")
		mustNext(t, r, "1")
		mustNext(t, r, "2")
	})
}

func TestResumeGoesOnBehindWhatTheModuleHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	s := mustOpen(t, path, Options{})
	b := s.Box("a/chat")
	mustPut(t, b, "1", "2", "3")
	mustClose(t, s)

	s = mustOpen(t, path, Options{})
	b = s.Box("a/chat")
	r := b.Resume(2)
	wantIDs(t, "waiting", b.Waiting(), "2 3")
	mustNext(t, r, "3")
	r.Close(api.Died)
	wantIDs(t, "after death", b.Waiting(), "2†1 3")

	// The box knows nothing of message 70: later ones come behind it, and no number is lost to an absurd one.
	for _, seq := range []uint64{70, 1 << 60, 0} {
		r = b.Resume(seq)
	}
	if seq, err := b.Put(t.Context(), api.Message{ID: "4"}); seq != 71 || err != nil {
		t.Fatalf("Put: %d, %v", seq, err)
	}
	mustNext(t, r, "4")
}

func TestNextHonoursItsContextOnlyWhenItWaits(t *testing.T) {
	s := mustOpen(t, "", Options{})
	b := s.Box("a/chat")
	r := b.Open()
	mustPut(t, b, "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := r.Next(ctx); err != nil || m.ID != "1" {
		t.Fatalf("Next of what is there: %v, %v", m, err)
	}
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Next of nothing: %v", err)
	}
}

func TestPutOverwritingDropsTheOldestOfATopic(t *testing.T) {
	s := mustOpen(t, "", Options{Limit: 3})
	b := s.Box("a/chat")
	r := b.Open()
	topic := func(id string) api.Message { return api.Message{ID: id, Topic: "soil"} }
	steps := []struct {
		id      string
		dropped int
		waiting string
	}{
		{"t1", 0, "m1 t1"},
		{"t2", 0, "m1 t1 t2"},
		{"t3", 1, "m1 t2 t3"},
	}
	mustPut(t, b, "m1")
	for _, step := range steps {
		if n := b.PutOverwriting(topic(step.id)); n != step.dropped {
			t.Fatalf("%s: dropped %d", step.id, n)
		}
		wantIDs(t, step.id, b.Waiting(), step.waiting)
	}
	mustNext(t, r, "m1")
	mustNext(t, r, "t2")
	if n := b.PutOverwriting(topic("t4")); n != 1 {
		t.Fatalf("dropped %d", n)
	}
	wantIDs(t, "fetched ones stay", b.Waiting(), "m1 t2 t4")
	mustNext(t, r, "t4")
	if n := b.PutOverwriting(topic("t5")); n != 1 {
		t.Fatalf("dropped %d", n)
	}
	wantIDs(t, "the new one goes", b.Waiting(), "m1 t2 t4")
	if b.Dropped() != 3 {
		t.Fatalf("dropped %d in all", b.Dropped())
	}
}

func TestPutResentPutsOnce(t *testing.T) {
	eachKind(t, Options{}, func(t *testing.T, s *Store) {
		b := s.Box("a/chat")
		mustPut(t, b, "1", "2")
		r := b.Open()
		r.Ack(mustNext(t, r, "1").Seq)
		for _, id := range []string{"1", "2", "3", "3"} {
			if _, err := b.PutResent(t.Context(), api.Message{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		wantIDs(t, "waiting", b.Waiting(), "2 3")
		for i := range remembered {
			mustPut(t, b, fmt.Sprint("more", i))
			r.Ack(b.next)
			if _, _, err := r.TryNext(); err != nil {
				t.Fatal(err)
			}
		}
		if seq, err := b.PutResent(t.Context(), api.Message{ID: "1"}); seq == 0 || err != nil {
			t.Fatalf("a forgotten ID is put again: %d, %v", seq, err)
		}
	})
}

func TestTooLargeMessagesAreRefused(t *testing.T) {
	s := mustOpen(t, "", Options{})
	m := api.Message{Text: strings.Repeat("x", maxMessage+1)}
	if _, err := s.Box("a").Put(t.Context(), m); !errors.Is(err, api.ErrTooLarge) {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	s := mustOpen(t, path, Options{})
	for _, name := range []string{"b/x", "a/y", "a/x"} {
		s.Box(name)
	}
	if err := s.Remove("a/y"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, path, Options{})
	if got := s.Names(); !slices.Equal(got, []string{"a/x", "b/x"}) {
		t.Fatalf("names %v", got)
	}
	if _, ok := s.Lookup("a/y"); ok {
		t.Fatal("a removed box came back")
	}
}

func TestRingRemovesFromBothEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q ring
	var model []uint64
	next := uint64(1)
	for range 5000 {
		switch n := random.IntN(10); {
		case n < 5:
			q.push().m.Seq = next
			model = append(model, next)
			next++
		case q.n > 0 && n < 7:
			q.pop()
			model = model[1:]
		case q.n > 0:
			i := random.IntN(q.n)
			q.remove(i)
			model = slices.Delete(model, i, i+1)
		}
		if q.n != len(model) {
			t.Fatalf("%d entries, want %d", q.n, len(model))
		}
		for i, seq := range model {
			if at, ok := q.find(seq); q.at(i).m.Seq != seq || !ok || at != i {
				t.Fatalf("entry %d: %d, want %d (found at %d)", i, q.at(i).m.Seq, seq, at)
			}
		}
	}
}

func TestEveryCallThatWaitsOnAReaderEndsWithIt(t *testing.T) {
	cases := []struct {
		name string
		end  func(*Store, *Reader)
		want error
	}{
		{"replaced", func(s *Store, _ *Reader) { s.Box("a/chat").Open() }, api.ErrReplaced},
		{"closed", func(_ *Store, r *Reader) { r.Close(api.Stopped) }, api.ErrClosed},
		{"store closed", func(s *Store, _ *Reader) { s.Close() }, ErrClosed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mustOpen(t, "", Options{})
				r := s.Box("a/chat").Open()
				ended := make(chan error, 6)
				for range 3 {
					go func() { ended <- r.Wait(t.Context()) }()
					go func() { _, err := r.Next(t.Context()); ended <- err }()
				}
				synctest.Wait()
				c.end(s, r)
				synctest.Wait()
				if len(ended) != 6 {
					t.Errorf("%d of 6 calls ended", len(ended))
				}
				for range len(ended) {
					if err := <-ended; !errors.Is(err, c.want) {
						t.Errorf("ended with %v", err)
					}
				}
			})
		})
	}
}
