package exchange

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// FuzzMail reads mails that anybody may have published. What is read is within bounds, and is read as the same when it is
// written again.
func FuzzMail(f *testing.F) {
	head := mail{Host: "h", Epoch: "e", To: "A/m", After: 3, Again: true}
	body, err := appendMessage(nil, 4, &api.Message{ID: "i", From: "A/n", Text: "text\n\xff", Headers: map[string]string{"k": "v"}, Time: time.Unix(1, 2)})
	if err != nil {
		f.Fatal(err)
	}
	whole, err := head.encode(body)
	if err != nil {
		f.Fatal(err)
	}
	head.Seq, head.Part, head.Parts = 4, 1, 3
	part, err := head.encode([]byte("piece"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{whole, part, whole[:len(whole)-1], []byte("{}\n"), {}, []byte(`{"v":1,"host":"h","epoch":"e","to":"A/m","parts":2}` + "\nx")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := readMail(payload)
		if err != nil {
			return
		}
		if !isName(m.Host) || !isAddress(m.To) || m.Parts == 0 && len(m.messages) == 0 || m.Parts > 0 && (m.Part >= m.Parts || len(m.piece) == 0) {
			t.Fatalf("read %+v", m)
		}
		body := m.piece
		last := m.After
		for _, l := range m.messages {
			if l.seq <= last || l.m.To != m.To {
				t.Fatalf("message %d after %d, to %s", l.seq, last, l.m.To)
			}
			last = l.seq
			if body, err = appendMessage(body, l.seq, &l.m); err != nil {
				t.Fatal(err)
			}
		}
		text, err := m.encode(body)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > maxMailBytes {
			return // JSON may be longer than what was read
		}
		again, err := readMail(text)
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", m) {
			t.Fatalf("read %+v, written and read again %+v, %v", m, again, err)
		}
	})
}

func FuzzAck(f *testing.F) {
	text, err := ack{Host: "h", Epoch: "e", To: "A/m", Had: 7, Gap: true, Refused: "why"}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"v":1,"host":"+","to":"A/m"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := readAck(payload)
		if err == nil && (!isName(a.Host) || !isAddress(a.To)) {
			t.Fatalf("read %+v", a)
		}
	})
}

// FuzzReceived opens tables whose files are damaged: what stands before the damage is known, and the table works.
func FuzzReceived(f *testing.F) {
	good, err := appendLine(nil, stream{"h", "e", "A/m"}, entry{7, time.Unix(1e9, 0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), "00000000 {}\n"...))
	f.Add([]byte("x"))
	now := func() time.Time { return time.Unix(1e9+1, 0) }
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "received")
		if err := os.WriteFile(path, append(bytes.Clone(good), data...), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := openReceived(path, now)
		if err != nil {
			t.Fatal(err)
		}
		known := stream{"h", "e", "A/m"}
		before := r.had(known)
		if before == 0 {
			t.Fatal("what stands before the damage is forgotten")
		}
		other := stream{"other", "e", "A/m"}
		want := r.had(other) + 1
		if err := r.record(other, want); err != nil && want != 0 {
			t.Fatal(err)
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		r, err = openReceived(path, now)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		if r.had(other) != want && want != 0 || r.had(known) != before {
			t.Fatalf("read back %d and %d, want %d and %d", r.had(other), r.had(known), want, before)
		}
	})
}

func TestReceivedForgetsAndStaysSmall(t *testing.T) {
	now := time.Unix(1e9, 0)
	path := filepath.Join(t.TempDir(), "received")
	r, err := openReceived(path, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(20_000) {
		if err := r.record(stream{"h", "e", "A/m"}, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 100*(tableGarbage+10) {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	now = now.Add(forgetAfter + time.Hour)
	r, err = openReceived(path, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if had := r.had(stream{"h", "e", "A/m"}); had != 0 {
		t.Errorf("a stream of long ago is known: %d", had)
	}
}

func TestOutboxThatIsLostHasANewEpoch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox")
	epoch := func() string {
		t.Helper()
		o, err := openOutbox(path, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer o.store.Close()
		if _, err := o.store.Box("A/m").Put(t.Context(), api.Message{ID: api.NewID(), Text: strings.Repeat("x", 100)}); err != nil {
			t.Fatal(err)
		}
		return o.current()
	}
	first := epoch()
	if again := epoch(); again != first {
		t.Errorf("the epoch of an outbox that is there was %s, is %s", first, again)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	second := epoch()
	if second == first {
		t.Error("an outbox whose end was cut off has the old epoch")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if third := epoch(); third == second {
		t.Error("an outbox that was lost has the old epoch")
	}
}
