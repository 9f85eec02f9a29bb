package backend_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

// What is done here is what anybody can do who reaches the ports, some of it by somebody who has a password, too. Nothing
// of it may end the backend, keep others from being served, touch an agent's messages, or stay behind in memory.

// packet is an MQTT packet of a body.
func packet(first byte, body []byte) []byte {
	p := []byte{first}
	for n := len(body); ; {
		digit := byte(n % 128)
		if n /= 128; n > 0 {
			digit |= 128
		}
		p = append(p, digit)
		if n == 0 {
			return append(p, body...)
		}
	}
}

// field is a string or bytes with their length before them.
func field(text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
}

// hello is a CONNECT of a version (4: MQTT 3.1.1, 5: MQTT 5), with a password if user is not "".
func hello(version byte, id, user string) []byte {
	flags, properties := byte(2), []byte(nil)
	if user != "" {
		flags |= 0xc0
	}
	if version == 5 {
		properties = []byte{0}
	}
	body := bytes.Join([][]byte{field("MQTT"), {version, flags, 0, 60}, properties, field(id)}, nil)
	if user != "" {
		body = bytes.Join([][]byte{body, field(user), field(password)}, nil)
	}
	return packet(0x10, body)
}

// samples are packets of all kinds that clients send, some of them wrong in ways that somebody has thought of.
func samples(version byte) [][]byte {
	properties := []byte(nil)
	if version == 5 {
		properties = []byte{0}
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	id := []byte{0, 7}
	deep := strings.Repeat("a/", 30_000) + "a"
	return [][]byte{
		packet(0x30, join(field("room/x"), properties, []byte("text"))),
		packet(0x32, join(field("room/x"), id, properties, []byte("text"))),
		packet(0x35, join(field("room/x"), id, properties, []byte("text"))),
		packet(0x31, join(field("room/retained"), properties, []byte("text"))),
		packet(0x30, join(field("concurrent_modular_agent/message/a/x"), properties, []byte("forged"))),
		packet(0x30, join(field("coma/agents/a/modules/x"), properties, []byte("forged"))),
		packet(0x36, join(field("room/x"), id, properties, []byte("QoS 3"))),
		packet(0x38, join(field("room/x"), properties, []byte("a duplicate of QoS 0"))),
		packet(0x32, join(field("room/x"), []byte{0, 0}, properties, []byte("packet ID 0"))),
		packet(0x30, join(field("room/#"), properties)),
		packet(0x30, join(field(""), properties)),
		packet(0x30, join(field("room/\x00"), properties)),
		packet(0x30, join(field("room/\xff\xfe"), properties)),
		packet(0x30, join(field("$SYS/broker/version"), properties, []byte("1"))),
		packet(0x30, join(field(deep), properties)),
		packet(0x30, []byte{0xff, 0xff, 'a'}),
		packet(0x30, join(field("room/x"), []byte{2, 0x23, 0})),             // an alias that is not there
		packet(0x30, join(field(""), []byte{3, 0x23, 0, 1})),                // an alias of nothing
		packet(0x30, join(field("room/x"), []byte{0xff, 0xff, 0xff, 0x7f})), // properties beyond the end
		packet(0x82, join(id, properties, field("room/#"), []byte{1})),
		packet(0x82, join(id, properties, field("#"), []byte{0})),
		packet(0x82, join(id, properties, field("room/#/x"), []byte{0})),
		packet(0x82, join(id, properties, field("room+"), []byte{0})),
		packet(0x82, join(id, properties, field(""), []byte{0})),
		packet(0x82, join(id, properties, field("room/x"), []byte{3})),
		packet(0x82, join(id, properties, field("room/x"), []byte{0xff})),
		packet(0x82, join(id, properties, field("$share"), []byte{0})),
		packet(0x82, join(id, properties, field("$share//"), []byte{0})),
		packet(0x82, join(id, properties, field("$share/+/room/x"), []byte{0})),
		packet(0x82, join(id, properties, field("$share/g/room/x"), []byte{4})),
		packet(0x82, join(id, properties, field(deep), []byte{0})),
		packet(0x82, join(id, properties)),
		packet(0x82, join([]byte{0, 0}, properties, field("room/x"), []byte{0})),
		packet(0x80, join(id, properties, field("room/x"), []byte{0})),
		packet(0xa2, join(id, properties, field("room/#"))),
		packet(0xa2, join(id, properties, field("$share/a"))),
		packet(0xa2, join(id, properties)),
		packet(0x40, id), packet(0x50, id), packet(0x62, id), packet(0x70, id), packet(0x60, id),
		packet(0x40, nil), packet(0x62, []byte{0}), packet(0x50, join(id, []byte{0x92, 0})),
		packet(0x20, []byte{0, 0}), packet(0x90, join(id, []byte{0})), packet(0xb0, id), packet(0xd0, nil),
		packet(0xc0, nil), packet(0xc0, []byte{1, 2, 3}), packet(0xc1, nil),
		packet(0xf0, nil), packet(0xf0, []byte{0x18, 2, 0x15, 0}), packet(0x00, nil),
		packet(0xe0, []byte{4, 0}), packet(0xe0, []byte{0, 5, 0x11, 0xff, 0xff, 0xff, 0xff}),
		hello(version, "again", "lamp"),
		{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, {0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, {0x32, 0xff, 0xff, 0xff, 0x07},
	}
}

// connects are beginnings that are wrong.
func connects() [][]byte {
	will := func(flags byte, topic string) []byte {
		return packet(0x10, bytes.Join([][]byte{field("MQTT"), {4, 0xc0 | flags, 0, 60}, field("w"), field(topic), field("gone"), field("lamp"), field(password)}, nil))
	}
	return [][]byte{
		packet(0x10, nil), packet(0x10, field("MQTT")), packet(0x10, bytes.Join([][]byte{field("MQTT"), {9, 2, 0, 60}, field("x")}, nil)),
		packet(0x10, bytes.Join([][]byte{field("MQIsdp"), {3, 2, 0, 60}, field("x")}, nil)),
		packet(0x10, bytes.Join([][]byte{field("MQTT"), {4, 3, 0, 60}, field("reserved flag")}, nil)),
		packet(0x10, bytes.Join([][]byte{field("MQTT"), {4, 0x42, 0, 60}, field("a password without a user"), field("x")}, nil)),
		packet(0x10, bytes.Join([][]byte{field("MQTT"), {4, 0xc2, 0, 60}, field("x"), {0xff, 0xff}}, nil)),
		packet(0x10, bytes.Join([][]byte{field("MQTT"), {4, 0, 0, 60}, field("")}, nil)),
		packet(0x10, bytes.Join([][]byte{field("MQTT"), {5, 2, 0, 60}, {5, 0x11, 0xff, 0xff, 0xff, 0xff}, field("x")}, nil)),
		packet(0x10, bytes.Join([][]byte{field("MQTT"), {5, 2, 0, 60}, {3, 0x21, 0, 0}, field("x")}, nil)),
		will(0x04, "room/#"), will(0x04, ""), will(0x1c, "room/x"), will(0x24, "concurrent_modular_agent/message/a/x"), will(0x2c, "room/gone"),
		hello(4, "inline", "lamp"), hello(5, "coma-mirror", "lamp"), hello(4, "honest", "lamp"), hello(4, strings.Repeat("x", 60_000), "lamp"), hello(4, "\x00\xff", "lamp"),
	}
}

// spoil changes some bytes, cuts, doubles or lengthens.
func spoil(random *rand.Rand, p []byte) []byte {
	p = bytes.Clone(p)
	for range random.IntN(3) {
		if len(p) == 0 {
			return p
		}
		at := random.IntN(len(p))
		switch random.IntN(5) {
		case 0:
			p[at] ^= 1 << random.IntN(8)
		case 1:
			p[at] = byte(random.IntN(256))
		case 2:
			p = p[:at]
		case 3:
			p = append(p[:at:at], p[at/2:]...)
		case 4:
			p = append(p, make([]byte, random.IntN(40))...)
		}
	}
	return p
}

// tell opens a connection, says something, and reads until the other side closes or has nothing to say for a while.
func tell(address string, said ...[]byte) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	conn.Write(bytes.Join(said, nil)) // the other side may close before it has read all
	conn.(*net.TCPConn).CloseWrite()
	_, err = io.Copy(io.Discard, conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("the backend neither answers nor closes after %q", fmt.Sprintf("%.200x", bytes.Join(said, nil)))
	}
	return nil
}

// records counts the stumbles in a log, and keeps the first.
type records struct {
	mu       sync.Mutex
	stumbles int
	first    string
}

func (r *records) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("stumbled")) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.stumbles++; r.stumbles == 1 {
			r.first = string(line)
		}
	}
	return len(line), nil
}

func TestAThousandMalformedPackets(t *testing.T) {
	said := &records{}
	b, _ := exposed(t, map[string]access.Permissions{"lamp": {Publish: []string{"room/#"}, Subscribe: []string{"room/#"}}}, func(o *backend.Options) {
		o.Log, o.Limits.Sessions = slog.New(slog.NewTextHandler(said, nil)), 20 // each is some memory, by right
	})
	attach(t, b, api.Attachment{Modules: []string{"x"}}, newConsole())
	const n = 20
	for i := range n {
		if err := b.Post(within(t), "cli", api.Message{To: "a/x", Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	honest := device(t, b, "honest", as("coma", token))
	heard := subscribe(t, honest, "honest/#")
	address := strings.TrimPrefix(brokerOf(t, b), "tcp://")
	if err := tell(address, hello(4, "first", "lamp")); err != nil { // the password is known from here on
		t.Fatal(err)
	}
	before := measure()

	var attackers sync.WaitGroup
	for seed := range uint64(4) {
		attackers.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for i := range 300 {
				version := byte(4 + random.IntN(2))
				said := [][]byte{hello(version, fmt.Sprint("attacker", seed, i%5), "lamp")}
				all := samples(version)
				for range 1 + random.IntN(4) {
					said = append(said, spoil(random, all[random.IntN(len(all))]))
				}
				switch random.IntN(100) { // a wrong password costs everybody who is called lamp some time: see access.Throttle
				case 0, 1:
					said[0] = spoil(random, said[0])
				case 2, 3, 4, 5, 6, 7, 8, 9:
					wrong := connects()
					said[0] = wrong[random.IntN(len(wrong))]
				}
				if err := tell(address, said...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	attacked := make(chan struct{})
	go func() {
		attackers.Wait()
		close(attacked)
	}()
	for i, under := 0, true; under; i++ {
		select {
		case <-attacked:
			under = false
		default:
		}
		await(t, honest.Publish("honest/x", 2, false, fmt.Sprint(i)))
		if got := next(t, heard); got != fmt.Sprint("honest/x ", i) {
			t.Fatalf("an honest client hears %q instead of its %d", got, i)
		}
	}
	t.Logf("the broker stumbled %d times; first: %.3000s", said.stumbles, said.first)

	waiting, err := b.Waiting(within(t), "a", "x", false)
	if err != nil || len(waiting) != n {
		t.Fatalf("%d messages wait, %v; want the %d that were there before", len(waiting), err, n)
	}
	for i, m := range waiting {
		if m.Text != fmt.Sprint(i) || m.From != "cli" {
			t.Errorf("message %d is %q from %s", i, m.Text, m.From)
		}
	}
	after := measure()
	for deadline := within(t); after.goroutines > before.goroutines && deadline.Err() == nil; after = measure() {
		runtime.Gosched()
	}
	if after.goroutines > before.goroutines {
		t.Errorf("%d goroutines are left of %d before", after.goroutines, before.goroutines)
	}
	if after.heap > before.heap+64<<20 {
		t.Errorf("%d MiB are left in memory, %d before", after.heap>>20, before.heap>>20)
	}
}

type measured struct {
	goroutines int
	heap       uint64
}

func measure() measured {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return measured{runtime.NumGoroutine(), m.HeapAlloc}
}

// Requests that are none, and frames that are none, end with an answer or the end of the connection.
func TestMalformedRequests(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{"lamp": {Agents: []string{"a"}}})
	attach(t, b, api.Attachment{Modules: []string{"x"}}, newConsole())
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(status.API, "http://")
	random := rand.New(rand.NewPCG(7, 7))
	for range 5 {
		for _, request := range requests() {
			if err := tell(address, spoil(random, []byte(request))); err != nil {
				t.Fatal(err)
			}
		}
		for _, frames := range webSocketFrames() {
			if err := tell(address, []byte(upgrade("/rpc")), spoil(random, frames)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := healthy(within(t), status.API); err != nil {
		t.Error(err)
	}
}

func requests() []string {
	return []string{
		"GET / HTTP/1.1\r\n\r\n", "GET /rpc HTTP/9.9\r\nHost: localhost\r\n\r\n", "\x00\x00\x00\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", "GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /" + strings.Repeat("a", 40_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /api/v2/tenants HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
		"POST /api/v2/tenants HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /api/v2/tenants/default_tenant/databases/default_database/collections HTTP/1.1\r\nHost: localhost\r\n" + authorization() +
			"Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"name\":\"" + strings.Repeat("[", 31),
		"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n\x82\x02\x10\x00",
		"OPTIONS /rpc HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: GET\r\n\r\n",
		"GET /rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic !!!\r\n\r\n", "GET /rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer :\r\n\r\n",
	}
}

func authorization() string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("lamp:"+password)) + "\r\n"
}

func upgrade(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + authorization() + "Connection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
}

// frame is a WebSocket frame of a client (RFC 6455, section 5.2), masked with zeros.
func frame(first byte, payload string) []byte {
	head := []byte{first, 0x80 | 126}
	head = binary.BigEndian.AppendUint16(head, uint16(len(payload)))
	return append(append(head, 0, 0, 0, 0), payload...)
}

func webSocketFrames() [][]byte {
	var all [][]byte
	for _, text := range calls() {
		all = append(all, frame(0x81, text))
	}
	return append(all,
		frame(0x82, "binary"), frame(0x01, "the first part"), frame(0x80, "a part of nothing"), frame(0xc1, "reserved bits"), frame(0x8f, "no such kind"),
		frame(0x89, strings.Repeat("x", 126)), frame(0x88, "\x00"), frame(0x81, "\xff\xfe"),
		[]byte{0x81, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, []byte{0x81, 0x05, 'h', 'e', 'l', 'l', 'o'},
	)
}

func calls() []string {
	return []string{
		`{"jsonrpc":"2.0","id":1,"method":"status"}`, `{"jsonrpc":"2.0","id":1,"method":"agents"}`, `[]`, `[[[[`, `{"jsonrpc":"1.0"}`, `null`, `{}`,
		`{"jsonrpc":"2.0","id":{},"method":"status"}`, `{"jsonrpc":"2.0","id":1,"method":"nosuch","params":[1]}`, `{"jsonrpc":"2.0","method":"next"}`,
		`{"jsonrpc":"2.0","id":1,"method":"shutdown"}`, `{"jsonrpc":"2.0","id":1,"method":"memory.backup","params":{"agent":"a","path":"/nowhere/x.json"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"open","params":{"agent":"b","module":"x","generation":1}}`,
		`{"jsonrpc":"2.0","id":1,"method":"open","params":{"agent":"a","module":"../x","generation":-1}}`,
		`{"jsonrpc":"2.0","id":1,"method":"open","params":{"agent":"a","module":"y","generation":18446744073709551616}}`,
		`{"jsonrpc":"2.0","id":1,"method":"open","params":{"agent":"a","module":"x","mode":"guest"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"post","params":{"to":"a/x","text":"` + strings.Repeat("x", 1000) + `"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"post","params":{"to":"b/x","text":"x"}}`, `{"jsonrpc":"2.0","id":1,"method":"listen","params":{"pattern":"a/#/b"}}`,
		`[{"jsonrpc":"2.0","id":1,"method":"open","params":{"agent":"a","module":"z"}},{"jsonrpc":"2.0","method":"next","params":{"ack":9}},{"jsonrpc":"2.0","id":2,"method":"send","params":{"to":"x"}}]`,
		strings.Repeat(`{"a":`, 5000), `{"jsonrpc":"2.0","id":1,"method":"memory.get","params":{"agent":"a","select":{"filter":{"op":"and","filters":[{"op":"regex","value":"(a+)+$"}]}}}}`,
	}
}

func healthy(ctx context.Context, api string) error {
	r, err := http.NewRequestWithContext(ctx, "GET", api+"/health", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("health is %s", answer.Status)
	}
	return nil
}

// Somebody who holds many connections and says nothing keeps nobody else out, for each address has its bound; that those
// who say nothing are cut off is TestGreeting's.
func TestConnectionsAreBounded(t *testing.T) {
	b, _ := exposed(t, map[string]access.Permissions{"lamp": {Publish: []string{"#"}, Subscribe: []string{"#"}}}, func(o *backend.Options) {
		o.Limits = access.Limits{Connections: 5, Subscriptions: 3, Retained: 2, Sessions: 2}
	})
	address := strings.TrimPrefix(brokerOf(t, b), "tcp://")
	var silent []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	lamp := device(t, b, "lamp", as("lamp", password)) // the fifth
	sixth, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer sixth.Close()
	if _, err := bufio.NewReader(sixth).ReadByte(); err == nil {
		t.Error("a connection too many is served")
	}
	for _, conn := range silent {
		conn.Close()
	}

	for i := range 5 {
		pattern := fmt.Sprint("room/", i)
		got := lamp.Subscribe(pattern, 0, nil)
		if !got.WaitTimeout(20 * time.Second) {
			t.Fatal("no answer to SUBSCRIBE")
		}
		codes := got.(interface{ Result() map[string]byte }).Result()
		if refused := codes[pattern] >= 0x80; refused != (i >= 3) {
			t.Errorf("subscription %d: %#x", i, codes[pattern])
		}
	}
	for i := range 4 {
		await(t, lamp.Publish(fmt.Sprint("left/", i), 1, true, "x"))
	}
	var kept []string
	all := device(t, b, "owner", as("coma", token))
	heard := subscribe(t, all, "left/#")
	await(t, all.Publish("left/mark", 1, false, "x"))
	for got := ""; got != "left/mark x"; {
		got = next(t, heard)
		kept = append(kept, got)
	}
	if len(kept) != 3 {
		t.Errorf("%v are kept; there is room for 2", kept[:len(kept)-1])
	}
}

// target is a backend that fuzz workers share with nobody else: one a process.
func target(f *testing.F) (mqtt, api string) {
	f.Helper()
	dirs := in(f.TempDir())
	users, err := access.Open(backend.UsersPath(dirs))
	if err != nil {
		f.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		f.Fatal(err)
	}
	lamp := access.User{Hash: string(hash), Permissions: access.Permissions{Publish: []string{"room/#"}, Subscribe: []string{"room/#"}, Agents: []string{"a"}}}
	if err := users.Set("lamp", lamp); err != nil {
		f.Fatal(err)
	}
	said := &records{}
	b, err := backend.Open(backend.Options{Folders: dirs, Host: "0.0.0.0", Token: token, Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := b.Close(); err != nil {
			f.Error(err)
		}
		if said.stumbles > 0 {
			f.Errorf("the broker stumbled %d times: %s", said.stumbles, said.first)
		}
	})
	status, err := b.Status(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	return strings.TrimPrefix(status.Broker, "mqtt://"), strings.TrimPrefix(status.API, "http://")
}

// FuzzMQTTPort says anything to the MQTT port: at once, or after a CONNECT that is right.
func FuzzMQTTPort(f *testing.F) {
	mqtt, api := target(f)
	for _, version := range []byte{4, 5} {
		for _, p := range samples(version) {
			if len(p) < 1000 {
				f.Add(version, p)
			}
		}
	}
	for _, p := range connects() {
		if len(p) < 1000 {
			f.Add(byte(0), p)
		}
	}
	f.Fuzz(func(t *testing.T, version byte, said []byte) {
		first := []byte(nil)
		if version == 4 || version == 5 {
			first = hello(version, "fuzz", "lamp")
		}
		if err := tell(mqtt, first, said); err != nil {
			t.Error(err)
		}
		if err := healthy(t.Context(), "http://"+api); err != nil {
			t.Error(err)
		}
	})
}

// FuzzAPIPort says anything to the API's port: as a request, as frames of a WebSocket, or as a frame of JSON-RPC.
func FuzzAPIPort(f *testing.F) {
	_, api := target(f)
	for _, r := range requests() {
		if len(r) < 1000 {
			f.Add(byte(0), []byte(r))
		}
	}
	for _, frames := range webSocketFrames() {
		f.Add(byte(1), frames)
	}
	for _, call := range calls() {
		f.Add(byte(2), []byte(call))
	}
	f.Fuzz(func(t *testing.T, kind byte, said []byte) {
		var err error
		switch kind % 3 {
		case 0:
			err = tell(api, said)
		case 1:
			err = tell(api, []byte(upgrade("/rpc")), said)
		case 2:
			err = tell(api, []byte(upgrade("/rpc")), frame(0x81, string(said[:min(len(said), 65_535)])))
		}
		if err != nil {
			t.Error(err)
		}
		if err := healthy(t.Context(), "http://"+api); err != nil {
			t.Error(err)
		}
	})
}
