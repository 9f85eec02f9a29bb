package backend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/concurrent-modular-agent/coma/internal/access"
)

func TestHeads(t *testing.T) {
	whole := func(bytes int64) piece { return piece{bytes: bytes, last: true} }
	aside := func(bytes int64) piece { return piece{bytes: bytes, last: true, aside: true} }
	masked := func(head ...byte) []byte { return append(head, 1, 2, 3, 4) }
	tests := []struct {
		name  string
		parse parser
		head  []byte
		want  piece
		err   error
	}{
		{"PINGREQ", packetHead, []byte{0xc0, 0}, whole(2), nil},
		{"a packet", packetHead, []byte{0x30, 127}, whole(129), nil},
		{"a packet of 128", packetHead, []byte{0x30, 0x80, 1}, whole(131), nil},
		{"the largest packet", packetHead, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, whole(5 + 268_435_455), nil},
		{"a length of five bytes", packetHead, []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1}, piece{}, errHead},
		{"text", frameHead, masked(0x81, 0x80|5), whole(11), nil},
		{"an empty frame", frameHead, []byte{0x81, 0}, whole(2), nil},
		{"a frame of 16 bits", frameHead, masked(0x82, 0x80|126, 1, 0), whole(8 + 256), nil},
		{"a frame of 64 bits", frameHead, masked(0x82, 0x80|127, 0, 0, 0, 1, 0, 0, 0, 0), whole(14 + 1<<32), nil},
		{"a first part", frameHead, masked(0x01, 0x80|5), piece{bytes: 11}, nil},
		{"another part", frameHead, masked(0x00, 0x80|5), piece{bytes: 11}, nil},
		{"the last part", frameHead, masked(0x80, 0x80|5), whole(11), nil},
		{"a ping", frameHead, masked(0x89, 0x80|5), aside(11), nil},
		{"a ping in parts, which is none", frameHead, masked(0x09, 0x80|5), aside(11), nil},
		{"a length beyond all", frameHead, masked(0x82, 0x80|127, 0xff, 0, 0, 1, 0, 0, 0, 0), piece{}, errHead},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for n := range len(test.head) + 1 {
				got, ok, err := test.parse(test.head[:n])
				if ok && got != test.want || !errors.Is(err, test.err) && err != nil {
					t.Fatalf("of %d bytes: %+v, %v", n, got, err)
				}
				if n == len(test.head) && (ok != (test.err == nil) || err != test.err) {
					t.Errorf("%+v, %t, %v", got, ok, err)
				}
			}
		})
	}
}

const mib = 1 << 20

// lamp is a user of whom nothing else is known.
func lamp(t *testing.T) access.Identity {
	t.Helper()
	users, err := access.Open(t.TempDir() + "/users.json")
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("a blackbird sings"), bcrypt.MinCost)
	if err == nil {
		err = users.Set("lamp", access.User{Hash: string(hash)})
	}
	if err != nil {
		t.Fatal(err)
	}
	id, err := users.Login(t.Context(), "", "lamp", "a blackbird sings")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// publish is the beginning of an MQTT packet of so many bytes in all, of which so many are sent.
func publish(bytes, sent int) []byte {
	p := []byte{0x30}
	for n := bytes - 5; len(p) < 5; n >>= 7 {
		p = append(p, byte(n&0x7f)|0x80)
	}
	p[4] &= 0x7f
	return append(p, make([]byte, sent-5)...)
}

// metering is a meter that is read until its end, as a broker does: it asks for the next when it has dealt with the one
// before. As a broker would, it sets a deadline for what lies between.
func metering(in *access.Intake, id access.Identity, idle time.Duration, told func(error)) (far net.Conn, ended <-chan error) {
	near, far := net.Pipe()
	m := newMeter(&meter{Conn: near, parse: packetHead, intake: in, most: 16 * mib, id: func() access.Identity { return id }, told: told}, near)
	result := make(chan error, 1)
	go func() {
		err := m.SetReadDeadline(time.Now().Add(idle))
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, m, make([]byte, 64<<10))
		}
		m.Close()
		m.release()
		result <- err
	}()
	return far, result
}

// Whoever holds packets back has the memory of as many as there is room for, and not for long.
func TestPacketsHeldBack(t *testing.T) {
	id := lamp(t)
	synctest.Test(t, func(t *testing.T) {
		in := access.NewIntake(access.Limits{InFlight: 16 * mib})
		var refused atomic.Int64
		var attackers []<-chan error
		for range 20 {
			far, ended := metering(in, id, time.Hour, func(err error) {
				if errors.Is(err, access.ErrCrowded) {
					refused.Add(1)
				}
			})
			defer far.Close()
			go far.Write(publish(mib, mib-1)) // fails where it is cut off
			attackers = append(attackers, ended)
		}
		synctest.Wait()
		if bytes, waiting := in.Taken("lamp"); bytes != 4*mib || waiting != 16 {
			t.Errorf("%d bytes are taken, %d wait", bytes, waiting)
		}
		small, _ := metering(in, id, time.Hour, func(err error) { t.Error(err) }) // the same user's small packets are not concerned
		defer small.Close()
		for range 100 {
			if _, err := small.Write(publish(60<<10, 60<<10)); err != nil {
				t.Fatal(err)
			}
		}
		other, _ := metering(in, access.Owner(), time.Hour, func(err error) { t.Error(err) }) // nor others' large ones
		defer other.Close()
		for range 10 {
			if _, err := other.Write(publish(3*mib, 3*mib)); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		for _, ended := range attackers {
			<-ended
		}
		// Those who got room have 30 s and more for what has come; those who wait are refused after 30 s.
		if took, most := time.Since(start), bodyTime+mib/bodyRate*time.Second; took > most || refused.Load() != 16 {
			t.Errorf("it took %v, %d were refused", took, refused.Load())
		}
		if bytes, waiting := in.Taken("lamp"); bytes != 0 || waiting != 0 {
			t.Errorf("%d bytes are still taken, %d wait", bytes, waiting)
		}
	})
}

func TestAMessageHasItsTime(t *testing.T) {
	id := lamp(t)
	for _, test := range []struct {
		name  string
		sends func(far net.Conn)
		lives time.Duration
	}{
		{"says nothing", func(net.Conn) {}, time.Hour},
		{"half a small packet", func(far net.Conn) { far.Write(publish(1000, 500)) }, bodyTime},
		{"half a large packet", func(far net.Conn) { far.Write(publish(2*mib, mib)) }, bodyTime + mib/bodyRate*time.Second},
		{"a packet, then half a one", func(far net.Conn) { far.Write(slices.Concat(publish(1000, 1000), publish(1000, 500))) }, bodyTime},
		{"packets now and then", func(far net.Conn) {
			for range 3 {
				time.Sleep(10 * time.Minute)
				far.Write(publish(mib, mib))
			}
		}, time.Hour},
		{"a slow one", func(far net.Conn) {
			p := publish(20*bodyRate, 20*bodyRate)
			for len(p) > 0 {
				time.Sleep(2 * time.Second)
				if _, err := far.Write(p[:bodyRate]); err != nil {
					t.Error("it is cut off too early")
				}
				p = p[bodyRate:]
			}
		}, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				told := 0
				far, ended := metering(access.NewIntake(access.Limits{}), id, time.Hour, func(error) { told++ })
				test.sends(far)
				err := <-ended
				if got := time.Since(start); got != test.lives || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%v after %v, want %v", err, got, test.lives)
				}
				if late := test.lives < time.Hour; late != (told == 1) {
					t.Errorf("it is told of %d times", told)
				}
				far.Close()
			})
		})
	}
}

// What comes through a meter is what has been sent, in whatever pieces it comes and is read.
func TestAMeterChangesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	id := lamp(t)
	frame := func(bytes int) []byte { // of any kind
		head := []byte{[]byte{0x81, 0x01, 0x00, 0x80, 0x89}[random.IntN(5)], 127}
		return append(binary.BigEndian.AppendUint64(head, uint64(bytes)), make([]byte, bytes)...)
	}
	packet := func(bytes int) []byte { return publish(bytes+5, bytes+5) }
	for name, test := range map[string]struct {
		parse parser
		piece func(bytes int) []byte
	}{"packets": {packetHead, packet}, "frames": {frameHead, frame}} {
		t.Run(name, func(t *testing.T) {
			var sent []byte
			for range 100 {
				size := []int{0, 1, 100, 3000, access.Small - 10 + random.IntN(20), 80_000}[random.IntN(6)]
				p := test.piece(size)
				if size > 0 {
					p[len(p)-1] = byte(random.Uint32()) // so that they differ
				}
				sent = append(sent, p...)
			}
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close() // not as soon as all is written: a pipe that one end has closed takes no deadline any more
			go func() {
				for rest := sent; len(rest) > 0; {
					n := min(len(rest), 1+random.IntN(5000))
					if _, err := far.Write(rest[:n]); err != nil {
						return
					}
					rest = rest[n:]
				}
			}()
			m := newMeter(&meter{Conn: near, parse: test.parse, intake: access.NewIntake(access.Limits{}), most: mib,
				id: func() access.Identity { return id }, told: func(err error) { t.Error(err) }}, near)
			got := make([]byte, len(sent))
			if n, err := io.ReadFull(m, got); !bytes.Equal(sent, got) {
				t.Errorf("%d bytes of %d came, %v", n, len(sent), err)
			}
		})
	}
}

// FuzzMeter reads anything that a client may send.
func FuzzMeter(f *testing.F) {
	f.Add(true, publish(100, 100))
	f.Add(true, publish(mib, 70_000))
	f.Add(true, []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x80})
	f.Add(false, []byte{0x81, 0x85, 1, 2, 3, 4, 'h', 'e', 'l', 'l', 'o', 0x01, 0x80, 0, 0, 0, 0, 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x80, 0, 0, 0, 0})
	f.Add(false, []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, mqtt bool, sent []byte) {
		parse := frameHead
		if mqtt {
			parse = packetHead
		}
		in := access.NewIntake(access.Limits{InFlight: 4 * mib})
		near, far := net.Pipe()
		defer far.Close()
		refused := false
		m := newMeter(&meter{Conn: near, parse: parse, intake: in, most: mib, id: func() access.Identity { return access.Identity{} },
			told: func(error) { refused = true }}, bytes.NewReader(sent))
		got, err := io.ReadAll(m)
		if !bytes.HasPrefix(sent, got) || err == nil && len(sent)-len(got) > 14 || refused {
			t.Errorf("%d of %d bytes came, %v", len(got), len(sent), err)
		}
		if bytes, _ := in.Taken(""); bytes > mib || bytes > 0 && bytes <= access.Small {
			t.Errorf("%d bytes are taken", bytes)
		}
		m.Close()
		m.release()
		if bytes, _ := in.Taken(""); bytes != 0 {
			t.Errorf("%d bytes are left", bytes)
		}
	})
}
