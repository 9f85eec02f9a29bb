package backend

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
)

// newTestDoors returns doors that nobody has come in by.
func newTestDoors(log io.Writer) *doors {
	limits := access.Limits{}.WithDefaults()
	return newDoors(nil, &Backend{limits: limits, intake: access.NewIntake(limits), log: slog.New(slog.NewTextHandler(log, nil))})
}

func TestGreeting(t *testing.T) {
	connect := []byte{0x10, 0x0c, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 0}
	tests := []struct {
		name string
		sent []byte
		in   bool
	}{
		{"a CONNECT", connect, true},
		{"a large CONNECT", append([]byte{0x10, 0x80, 0x80, 0x04}, connect[2:]...), true},
		{"nothing", nil, false},
		{"half a header", []byte{0x10}, false},
		{"a length without end", []byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x80}, false},
		{"a huge CONNECT", []byte{0x10, 0xff, 0xff, 0xff, 0x7f}, false},
		{"a PUBLISH", []byte{0x30, 0x03, 0, 1, 'a'}, false},
		{"a CONNECT with flags", []byte{0x11, 0x0c, 0, 4}, false},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), false},
		{"TLS", []byte{22, 3, 1, 0, 5, 1}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTestDoors(io.Discard)
				came := false
				d.establish = func(_ string, c net.Conn) error {
					came = true
					read := make([]byte, len(test.sent))
					if _, err := io.ReadFull(c, read); err != nil || !bytes.Equal(read, test.sent) {
						t.Errorf("the broker reads %x, %v", read, err)
					}
					return nil
				}
				near, far := net.Pipe()
				go func() { far.Write(test.sent) }() // fails where the other end has gone
				start := time.Now()
				d.serve(near, false) // returns after the greeting's time at the latest
				if came != test.in {
					t.Errorf("let in: %t", came)
				}
				if took := time.Since(start); took > greeting {
					t.Errorf("it took %v", took)
				}
				if _, err := far.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the connection is still open: %v", err)
				}
				far.Close()
			})
		})
	}
}

func TestAClientThatTakesNothingIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		g := &door{meter: newMeter(&meter{Conn: near}, near)}
		start := time.Now()
		go func() { // slow, but it takes some
			for range 3 {
				time.Sleep(writing - time.Second)
				if _, err := io.ReadFull(far, make([]byte, maxWrite)); err != nil {
					t.Error(err)
				}
			}
		}()
		if n, err := g.Write(make([]byte, 3*maxWrite)); err != nil || n != 3*maxWrite {
			t.Errorf("to a slow client: %d, %v", n, err)
		}
		start = time.Now()
		if _, err := g.Write([]byte("x")); err == nil || time.Since(start) != writing {
			t.Errorf("to a client that takes nothing: %v after %v", err, time.Since(start))
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("it is still connected: %v", err)
		}
	})
}

func TestAStumbleEndsOneConnection(t *testing.T) {
	var log bytes.Buffer
	d := newTestDoors(&log)
	d.establish = func(string, net.Conn) error { panic("index out of range") }
	near, far := net.Pipe()
	go far.Write([]byte{0x10, 0x00})
	d.serve(near, false)
	if !strings.Contains(log.String(), "index out of range") || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log says %q", log.String())
	}
	if len(d.open) != 0 {
		t.Error("the connection is still known")
	}
}

func TestQuota(t *testing.T) {
	q := newQuota(access.Limits{Retained: 2, RetainedBytes: 10, SessionBytes: 100}.WithDefaults())
	steps := []struct {
		topic string
		bytes int
		room  bool
	}{
		{"a", 4, true}, {"b", 6, true}, {"c", 1, false}, {"a", 5, false}, {"a", 3, true}, {"b", 0, true}, {"c", 8, false}, {"c", 7, true}, {"d", 0, true}, {"d", 1, false},
	}
	for _, s := range steps {
		if got := q.room(s.topic, s.bytes); got != s.room {
			t.Fatalf("room for %d bytes at %s: %t", s.bytes, s.topic, got)
		}
		if s.room {
			q.left(s.topic, s.bytes)
		}
	}
	var one, two held
	q.hold(&one, 1, 20)
	q.hold(&one, 1, 20) // sent again
	if q.full(&one) || q.full(&two) {
		t.Error("full too soon")
	}
	q.hold(&one, 2, 5)
	if !q.full(&one) {
		t.Error("one client may hold more than its share")
	}
	q.drop(&one, 1)
	if q.full(&one) {
		t.Error("what is acknowledged still counts")
	}
	q.hold(&two, 1, 99)
	if !q.full(&one) {
		t.Error("all clients together may hold more than there is room")
	}
	q.dropAll(&two)
	q.drop(&one, 2)
	q.drop(&one, 2)
	if q.waiting.Load() != 0 || one.bytes.Load() != 0 {
		t.Errorf("%d bytes are still counted", q.waiting.Load())
	}
}
