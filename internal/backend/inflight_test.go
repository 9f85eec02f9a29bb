package backend_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// room is what one user may have on the way in these tests.
const room = 4 << 20

// crowding is a backend with little room, and users who use it.
func crowding(t *testing.T, limit int) (b *backend.Backend, status api.Status) {
	t.Helper()
	b, _ = exposed(t, map[string]access.Permissions{
		"lamp":     {Publish: []string{"#"}, Subscribe: []string{"#"}, Agents: []string{"a"}},
		"gardener": {Publish: []string{"#"}, Subscribe: []string{"#"}, Agents: []string{"a"}},
	}, func(o *backend.Options) { o.Limits.InFlight = 4 * room })
	attach(t, b, api.Attachment{Modules: []string{"x"}, Limit: limit}, newConsole())
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return b, status
}

// eventually asks again and again, for what no event tells of.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for ctx := within(t); !is(); {
		select {
		case <-ask.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within its time", what)
		}
	}
}

func dialAs(t *testing.T, status api.Status, user string) *link.Client {
	t.Helper()
	c, err := link.Dial(within(t), status.API, user+":"+password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Somebody with a password holds messages back at each door, as many as there are connections. In memory is what there is
// room for; nobody else is concerned, and nor is what is small.
func TestMessagesHeldBack(t *testing.T) {
	const large = 1 << 20
	publish := packet(0x30, append(field("room/x"), make([]byte, large)...))
	frame := append([]byte{0x81, 0x80 | 127}, append(binary.BigEndian.AppendUint64(nil, large), make([]byte, 4+large)...)...)
	for name, door := range map[string]struct {
		api  bool
		said [][]byte
	}{
		"MQTT":      {false, [][]byte{hello(4, "", "lamp"), publish[:len(publish)-1]}},
		"WebSocket": {true, [][]byte{[]byte(upgrade("/rpc")), frame[:len(frame)-1]}},
		"HTTP": {true, [][]byte{[]byte("POST /v1/publish HTTP/1.1\r\nHost: localhost\r\n" + authorization() + fmt.Sprintf("Content-Length: %d\r\n\r\n", large)),
			make([]byte, large-1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, status := crowding(t, 0)
			address := strings.TrimPrefix(status.Broker, "mqtt://")
			if door.api {
				address = strings.TrimPrefix(status.API, "http://")
			}
			var held []net.Conn
			var writing sync.WaitGroup
			for range 12 {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, conn)
				writing.Go(func() { conn.Write(bytes.Join(door.said, nil)) }) // ends when it is cut off
			}
			defer writing.Wait()
			most := int64(0)
			full := func() bool {
				got, waiting := b.Received("lamp")
				most = max(most, got)
				return got+large > room && waiting > 0
			}
			eventually(t, "the user's room is taken", full)

			// Small messages of the same user, and large ones of another.
			if err := dialAs(t, status, "lamp").Post(within(t), "cli", api.Message{To: "a/x", Text: "small"}); err != nil {
				t.Error(err)
			}
			await(t, device(t, b, "small", as("lamp", password)).Publish("room/y", 1, false, "small"))
			gardener := device(t, b, "gardener", as("gardener", password))
			heard := subscribe(t, gardener, "room/z")
			text := strings.Repeat("x", 2*large)
			await(t, gardener.Publish("room/z", 1, false, text))
			if got := next(t, heard); got != "room/z "+text {
				t.Errorf("heard %.100q", got)
			}
			if err := dialAs(t, status, "gardener").Post(within(t), "cli", api.Message{To: "a/x", Text: text}); err != nil {
				t.Error(err)
			}
			full()
			if most > room {
				t.Errorf("%d bytes were taken, there is room for %d", most, room)
			}

			for _, conn := range held {
				conn.Close()
			}
			eventually(t, "the room is given back", func() bool { got, waiting := b.Received("lamp"); return got == 0 && waiting == 0 })
			await(t, gardener.Subscribe("room/none", 0, nil))
			if err := dialAs(t, status, "lamp").Post(within(t), "cli", api.Message{To: "a/x", Text: text}); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is larger than its sender may have at all is refused in words where there are some.
func TestMessagesThatNeverFit(t *testing.T) {
	b, status := crowding(t, 0)
	c := dialAs(t, status, "lamp")
	huge := strings.Repeat("x", room+1)
	for range 2 {
		if err := c.Post(within(t), "cli", api.Message{To: "a/x", Text: huge}); !errors.Is(err, api.ErrTooLarge) {
			t.Errorf("over the link: %v", err)
		}
	}
	if err := c.Post(within(t), "cli", api.Message{To: "a/x", Text: "small"}); err != nil {
		t.Errorf("on the same connection: %v", err)
	}
	for _, announced := range []bool{true, false} {
		body := io.Reader(strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"post","params":{"to":"a/x","text":"` + huge + `"}}`))
		if !announced {
			body = struct{ io.Reader }{body}
		}
		r, err := http.NewRequestWithContext(within(t), "POST", status.API+"/rpc", body)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("lamp", password)
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			if announced { // it may be read so little of that its sender does not come to read the answer
				continue
			}
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("announced %t: %s", announced, answer.Status)
		}
	}
	if got, _ := b.Received("lamp"); got != 0 {
		t.Errorf("%d bytes are still taken", got)
	}
}

// Messages that wait for a full mailbox are in memory, too, and count until they are in it.
func TestCallsThatWaitAreCounted(t *testing.T) {
	b, status := crowding(t, 1)
	c := dialAs(t, status, "lamp")
	const n = 4 // of which the mailbox takes one
	text := strings.Repeat("x", 256<<10)
	results := make(chan error, n)
	for i := range n {
		go func() { results <- c.Post(t.Context(), "cli", api.Message{ID: fmt.Sprint(i), To: "a/x", Text: text}) }()
	}
	eventually(t, "the calls that wait are counted", func() bool {
		got, _ := b.Received("lamp")
		return got > int64((n-1)*len(text)) && got < int64(n*len(text))
	})
	if _, err := c.Mailboxes(within(t), "a"); err != nil {
		t.Errorf("a small call beside them: %v", err)
	}
	x := seat(t, b, socket(t, b), "x")
	for range n {
		if m, err := x.Receive(within(t)); err != nil || m.Text != text {
			t.Fatalf("received %d bytes, %v", len(m.Text), err)
		}
	}
	for range n {
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case <-within(t).Done():
			t.Fatal("a call has no answer")
		}
	}
	eventually(t, "the room is given back", func() bool { got, _ := b.Received("lamp"); return got == 0 })
}
