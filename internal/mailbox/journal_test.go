package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// state describes all that a store holds and must have again after a restart.
func state(s *Store) string {
	var out strings.Builder
	for _, name := range s.Names() {
		b, _ := s.Lookup(name)
		fmt.Fprintf(&out, "%q next %d\n", name, b.next)
		for _, m := range b.Waiting() {
			fmt.Fprintf(&out, "  waits %+v\n", m)
		}
		for _, m := range b.Dead() {
			fmt.Fprintf(&out, "  dead %+v\n", m)
		}
	}
	return out.String()
}

// everyKind leads a store through all that is journaled, with a Sync after each step so that each writes its records.
func everyKind(t testing.TB, s *Store) {
	b := s.Box("a/chat")
	gone := s.Box("a/gone")
	step := func() { mustSync(t, s) }
	mustPut(t, b, "1", "2", "3", "4", "5", "6")
	mustPut(t, gone, "x")
	step()
	r := b.Open()
	r.Ack(mustNext(t, r, "1").Seq)
	step()
	for _, id := range []string{"2", "3"} {
		for range 2 {
			r.Begin(mustNext(t, r, id).Seq)
			r.Close(api.Died)
			step()
			r = b.Open()
		}
	}
	if _, err := b.Redeliver("2"); err != nil {
		t.Fatal(err)
	}
	step()
	if _, err := b.DropDead("3"); err != nil {
		t.Fatal(err)
	}
	step()
	r.Begin(mustNext(t, r, "4").Seq)
	r.Close(api.Died)
	step()
	r = b.Open()
	r.Begin(mustNext(t, r, "4").Seq)
	r.Close(api.Died)
	if err := s.Remove("a/gone"); err != nil {
		t.Fatal(err)
	}
	step()
	s.Box("a/gone")
	b.PutOverwriting(api.Message{ID: "t1", Topic: "soil"})
	step()
	b.PutOverwriting(api.Message{ID: "t2", Topic: "soil"})
	step()
}

func TestEveryRecordIsReadBack(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			opt := Options{Durable: durable, MaxDeaths: 2, Limit: 6}
			s := mustOpen(t, path, opt)
			everyKind(t, s)
			want := state(s)
			mustClose(t, s)
			seen := map[kind]bool{}
			for _, r := range records(t, read(t, path)) {
				seen[r.kind] = true
			}
			for k := kindBox; k <= kindIDs; k++ {
				if !seen[k] && k != kindLetter { // which only a rewrite or a message that died unwritten leaves
					t.Errorf("no record of kind %d", k)
				}
			}
			for range 2 {
				s = mustOpen(t, path, opt)
				if got := state(s); got != want {
					t.Fatalf("read back:\n%s\nwant:\n%s", got, want)
				}
				b := s.Box("a/chat")
				wantIDs(t, "waiting", b.Waiting(), "5 6 2 t1 t2")
				wantIDs(t, "dead", b.Dead(), "4†2")
				for _, id := range []string{"1", "3", "5"} {
					if seq, err := b.PutResent(t.Context(), api.Message{ID: id}); seq != 0 || err != nil {
						t.Fatalf("message %s was put again: %d, %v", id, seq, err)
					}
				}
				mustClose(t, s)
			}
		})
	}
}

func TestRewriteHoldsAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	opt := Options{MaxDeaths: 2, Limit: 6}
	s := mustOpen(t, path, opt)
	everyKind(t, s)
	want := state(s)
	mustClose(t, s)
	s, _, err := s.replayForRewrite(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	before := len(read(t, path))
	if err := s.rewrite(); err != nil {
		t.Fatal(err)
	}
	if err := s.journal.file.Close(); err != nil {
		t.Fatal(err)
	}
	if after := len(read(t, path)); after >= before {
		t.Fatalf("rewritten journal has %d bytes, had %d", after, before)
	}
	s = mustOpen(t, path, opt)
	if got := state(s); got != want {
		t.Fatalf("read back:\n%s\nwant:\n%s", got, want)
	}
}

// replayForRewrite opens a store without a flusher, so that the test may use the journal.
func (*Store) replayForRewrite(path string, opt Options) (*Store, Recovery, error) {
	s := &Store{opt: opt.withDefaults(), boxes: map[string]*Box{}}
	r, size, err := s.replay(path)
	if err != nil {
		return nil, r, err
	}
	s.journal, err = openJournal(path, size, openFile)
	return s, r, err
}

func TestAMessageSurvivesWithAllItsFields(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	now := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	want := api.Message{
		ID: "id", From: "a/sender", To: "a/chat", Topic: "soil/moisture", Time: now, Text: "\x00\xff any bytes \n", ContentType: "text/plain",
		Headers: map[string]string{"traceparent": "00-1-2-03", "": ""}, ReplyTo: "a/sender", CorrelationID: "c", Deadline: now.Add(time.Hour),
	}
	s := mustOpen(t, path, Options{})
	if _, err := s.Box("a/chat").Put(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, path, Options{})
	got := s.Box("a/chat").Waiting()[0]
	want.Seq, want.Time, want.Deadline = 1, want.Time.UTC(), want.Deadline.UTC()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("read back\n%+v, want\n%+v", got, want)
	}
}

func TestWhatWasReadAtOnceIsNeverWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	s := mustOpen(t, path, Options{FlushInterval: time.Hour})
	b := s.Box("a/chat")
	r := b.Open()
	mustPut(t, b, "first") // makes the flusher reserve numbers
	mustNext(t, r, "first")
	r.Ack(1)
	mustSync(t, s)
	before := len(read(t, path))
	for i := range 10000 {
		mustPut(t, b, fmt.Sprint(i))
		r.Ack(mustNext(t, r, fmt.Sprint(i)).Seq)
	}
	mustSync(t, s)
	if after := len(read(t, path)); after != before {
		t.Fatalf("journal grew from %d to %d bytes", before, after)
	}
}

// A host that is killed forgets what was not written, but must not give a number twice: a module may still hold it.
func TestNumbersAreNotGivenTwiceAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	s := mustOpen(t, path, Options{FlushInterval: time.Hour})
	b := s.Box("a/chat")
	r := b.Open()
	var last uint64
	for range 100 {
		mustPut(t, b, "m")
		last = mustNext(t, r, "m").Seq
		r.Ack(last)
	}
	crashed := filepath.Join(t.TempDir(), "journal")
	write(t, crashed, read(t, path))
	s = mustOpen(t, crashed, Options{})
	if seq, err := s.Box("a/chat").Put(t.Context(), api.Message{}); seq <= last || err != nil {
		t.Fatalf("number %d after %d: %v", seq, last, err)
	}
}

func TestTheJournalIsCompacted(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			s := mustOpen(t, path, Options{Durable: durable})
			b := s.Box("a/chat")
			r := b.Open()
			text := strings.Repeat("x", 100_000)
			mustPut(t, b, "stays")
			mustNext(t, r, "stays")
			mustSync(t, s)
			r.Close(api.Stopped)
			for range 100 {
				if _, err := s.Box("a/busy").Put(t.Context(), api.Message{Text: text}); err != nil {
					t.Fatal(err)
				}
				mustSync(t, s)
				r := s.Box("a/busy").Open()
				m, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r.Ack(m.Seq)
				mustSync(t, s)
			}
			want := state(s)
			mustClose(t, s)
			if size := len(read(t, path)); size > 2*compactBytes {
				t.Fatalf("journal has %d bytes", size)
			}
			s = mustOpen(t, path, Options{})
			if got := state(s); got != want {
				t.Fatalf("read back:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

type record struct {
	kind kind
	end  int
}

// records returns where each record of a good journal ends.
func records(t testing.TB, data []byte) (all []record) {
	t.Helper()
	for at := headerLength; at < len(data); {
		k := kind(data[at+prefixLength])
		at += prefixLength + int(binary.LittleEndian.Uint32(data[at:]))
		all = append(all, record{k, at})
	}
	return all
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// readOnly replays a journal and returns the state without writing anything but the cut.
func readOnly(path string) (string, Recovery, error) {
	s := &Store{opt: Options{}.withDefaults(), boxes: map[string]*Box{}}
	r, _, err := s.replay(path)
	return state(s), r, err
}

// TestDamagedTails cuts a journal at each byte, and damages each byte: what is read is exactly what the records before the
// damage say, and what was cut off is kept.
func TestDamagedTails(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "journal")
	s := mustOpen(t, path, Options{MaxDeaths: 2, Limit: 6})
	everyKind(t, s)
	mustClose(t, s)
	whole := read(t, path)

	// The state after each record, by where the record ends.
	ends := []int{headerLength}
	for _, r := range records(t, whole) {
		ends = append(ends, r.end)
	}
	states := map[int]string{0: ""}
	for _, end := range ends {
		write(t, path, whole[:end])
		got, r, err := readOnly(path)
		if err != nil || r.Cut != 0 {
			t.Fatalf("%d bytes: %+v, %v", end, r, err)
		}
		states[end] = got
	}
	lastEnd := func(n int) (end int) {
		for _, e := range ends {
			if e <= n {
				end = e
			}
		}
		return end
	}
	check := func(what string, data []byte, good int) {
		t.Helper()
		write(t, path, data)
		got, r, err := readOnly(path)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got != states[good] {
			t.Fatalf("%s: read\n%s\nwant\n%s", what, got, states[good])
		}
		if want := int64(len(data) - good); r.Cut != want || want > 0 && (r.Offset != int64(good) || r.Damage == nil) {
			t.Fatalf("%s: %+v, want %d bytes cut at %d", what, r, want, good)
		}
		if !bytes.Equal(read(t, path), data[:good]) {
			t.Fatalf("%s: the journal was not cut at %d", what, good)
		}
		if r.Cut > 0 {
			if !bytes.Equal(read(t, r.Kept), data[good:]) {
				t.Fatalf("%s: %s does not hold what was cut", what, r.Kept)
			}
			if err := os.Remove(r.Kept); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range len(whole) {
		check(fmt.Sprintf("cut to %d bytes", n), whole[:n], lastEnd(n))
	}
	for n := headerLength; n < len(whole); n++ {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			data := bytes.Clone(whole)
			data[n] ^= flip
			check(fmt.Sprintf("byte %d xor %#x", n, flip), data, lastEnd(n))
		}
	}
	check("zeros behind", append(bytes.Clone(whole), make([]byte, 100)...), len(whole))
}

func TestADamagedJournalGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for range 2 { // the second time, the name for the cut bytes is taken
		s := mustOpen(t, path, Options{})
		mustClose(t, s)
		write(t, path, append(read(t, path), "torn"...))
		s, r, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Cut != 4 || string(read(t, r.Kept)) != "torn" {
			t.Fatalf("recovery %+v", r)
		}
		mustClose(t, s)
	}
	if matches, err := filepath.Glob(path + ".damaged-*"); len(matches) != 2 || err != nil {
		t.Fatalf("kept %v, %v", matches, err)
	}
	s := mustOpen(t, path, Options{})
	mustPut(t, s.Box("a/chat"), "1")
	mustClose(t, s)
	s = mustOpen(t, path, Options{})
	wantIDs(t, "waiting", s.Box("a/chat").Waiting(), "1")
}

func TestForeignFilesAreRefusedAndLeftAlone(t *testing.T) {
	cases := []struct{ name, data, want string }{
		{"text", "this is somebody's diary\n", "not a mailbox journal"},
		{"short text", "dear", "not a mailbox journal"},
		{"newer", magic + "\x02\x00\x00\x00rest", "version 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			write(t, path, []byte(c.data))
			_, _, err := Open(path, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Open: %v", err)
			}
			if got := string(read(t, path)); got != c.data {
				t.Fatalf("the file was changed to %q", got)
			}
		})
	}
}

// FuzzJournal opens arbitrary bytes as a journal. What is read must be read again, and the same, and can be gone on with.
func FuzzJournal(f *testing.F) {
	path := filepath.Join(f.TempDir(), "journal")
	s, _, err := Open(path, Options{MaxDeaths: 2, Limit: 6})
	if err != nil {
		f.Fatal(err)
	}
	everyKind(f, s)
	mustClose(f, s)
	f.Add(read(f, path)[headerLength:], false)
	f.Add([]byte{byte(kindBox), 4, 1, 1, 'a', 9, byte(kindPut), 15, 1, 9, 0, 1, 'i', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(kindDead), 3, 1, 9, 1}, true)
	f.Add([]byte{byte(kindIDs), 3, 1, 1, 1}, true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, sound bool) {
		path := filepath.Join(t.TempDir(), "journal")
		// Checksums keep a fuzzer out: with sound, data is a row of kind, length, payload that get right ones.
		if sound {
			content := []byte(nil)
			for len(data) > 1 {
				n := min(len(data), 2+int(data[1]))
				payload := data[2:n]
				content = appendRecord(content, kind(data[0]), func(buf []byte) []byte { return append(buf, payload...) })
				data = data[n:]
			}
			data = content
		}
		write(t, path, append(header(), data...))
		s, first, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := state(s)
		mustClose(t, s)
		s, second, err := Open(path, Options{})
		if err != nil || second.Cut != 0 {
			t.Fatalf("second Open: %+v, %v (first %+v)", second, err, first)
		}
		if got := state(s); got != want {
			t.Fatalf("first read\n%s\nthen\n%s", want, got)
		}
		if _, err := s.Box("new").Put(t.Context(), api.Message{ID: "new"}); err != nil && !errors.Is(err, api.ErrTooLarge) {
			t.Fatal(err)
		}
		mustClose(t, s)
	})
}
