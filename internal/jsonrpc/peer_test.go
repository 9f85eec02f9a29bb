package jsonrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is one end of a connection in memory. Unread frames wait without a bound unless the test takes the other end itself.
type pipe struct {
	in, out chan []byte
	closed  chan struct{} // shared by both ends
	once    *sync.Once
}

func newPipe() (a, b pipe) {
	x, y, closed, once := make(chan []byte), make(chan []byte), make(chan struct{}), new(sync.Once)
	return pipe{x, y, closed, once}, pipe{y, x, closed, once}
}

func (p pipe) Read() ([]byte, error) {
	select {
	case frame := <-p.in:
		return frame, nil
	case <-p.closed:
		return nil, io.EOF
	}
}

func (p pipe) Write(frame []byte) error {
	select {
	case p.out <- append([]byte(nil), frame...):
		return nil
	case <-p.closed:
		return io.ErrClosedPipe
	}
}

func (p pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// handler answers from its two functions, either of which may be missing.
type handler struct {
	request func(ctx context.Context, method string, params json.RawMessage) (any, error)
	notify  func(method string, params json.RawMessage)
}

func (h handler) Request(ctx context.Context, method string, params json.RawMessage) (any, error) {
	if h.request == nil {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: "no method " + method}
	}
	return h.request(ctx, method, params)
}

func (h handler) Notify(method string, params json.RawMessage) {
	if h.notify != nil {
		h.notify(method, params)
	}
}

// run starts a peer and ends it with the test.
func run(t testing.TB, conn jsonrpc.Conn, h jsonrpc.Handler, batching bool) *jsonrpc.Peer {
	t.Helper()
	p := jsonrpc.New(conn, h, batching)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(context.Background())
	}()
	t.Cleanup(func() {
		p.Close()
		<-done
	})
	return p
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func echo(_ context.Context, method string, params json.RawMessage) (any, error) {
	if method == "fail" {
		return nil, errors.New("as asked")
	}
	return json.RawMessage(params), nil
}

// TestFrames checks what a peer answers to what a plain client sends, frame by frame.
func TestFrames(t *testing.T) {
	tests := []struct {
		name, send string
		want       []string // answers, in any order
	}{
		{"number id", `{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}`, []string{`{"jsonrpc":"2.0","id":1,"result":[1]}`}},
		{"string id", `{"jsonrpc":"2.0","id":"a","method":"echo","params":{"b":2}}`, []string{`{"jsonrpc":"2.0","id":"a","result":{"b":2}}`}},
		{"fraction id", `{"id":1.5,"method":"echo","params":[],"jsonrpc":"2.0"}`, []string{`{"jsonrpc":"2.0","id":1.5,"result":[]}`}},
		{"spaces and escapes", " {\n\"jsonrpc\" : \"2.0\", \"id\":7 ,\"method\":\"e\\u0063ho\",\"params\":[ \"]}\\\"\" ]}\t",
			[]string{`{"jsonrpc":"2.0","id":7,"result":["]}\""]}`}},
		{"unknown members", `{"jsonrpc":"2.0","id":1,"method":"echo","params":[],"trace":{"a":1}}`, []string{`{"jsonrpc":"2.0","id":1,"result":[]}`}},
		{"error", `{"jsonrpc":"2.0","id":1,"method":"fail"}`, []string{`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"as asked"}}`}},
		{"wrong version", `{"jsonrpc":"1.0","id":1,"method":"echo"}`,
			[]string{`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request: \"jsonrpc\" is \"1.0\", not \"2.0\""}}`}},
		{"method is a number", `{"jsonrpc":"2.0","id":1,"method":1}`, []string{`-32600`}},
		{"id is an object", `{"jsonrpc":"2.0","id":{},"method":"echo"}`, []string{`-32600`}},
		{"not an object", `1`, []string{`-32600`}},
		{"nothing in it", `{}`, []string{`-32600`}},
		{"empty batch", ` [ ] `, []string{`-32600`}},
		{"batch of ones", `[1,2]`, []string{`[{"jsonrpc":"2.0","id":null,"error":{"code":-32600`}},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]},{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","id":"2","method":"fail"}]`,
			[]string{`{"jsonrpc":"2.0","id":"2","error":{"code":-32603,"message":"as asked"}}`}},
		{"not JSON", `{"jsonrpc":"2.0",`, []string{`-32700`}},
		{"not JSON inside", `{"jsonrpc":"2.0","id":1,"method":"echo","params":[1}}`, []string{`-32700`}},
		{"empty", ``, []string{`-32700`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			near, far := newPipe()
			run(t, far, handler{request: echo}, false)
			if err := near.Write([]byte(test.send)); err != nil {
				t.Fatal(err)
			}
			got, err := near.Read()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(string(got), want) {
					t.Errorf("answer is %s, want %s in it", got, want)
				}
			}
			if array := got[0] == '['; array != strings.HasPrefix(test.name, "batch") {
				t.Errorf("answer is %s", got)
			}
		})
	}
}

// TestNotificationsHaveNoAnswer: what is answered first is the call behind them, even for a batch of notifications alone.
func TestNotificationsHaveNoAnswer(t *testing.T) {
	near, far := newPipe()
	run(t, far, handler{request: echo}, false)
	for _, frame := range []string{
		`{"jsonrpc":"2.0","method":"fail"}`,
		`[{"jsonrpc":"2.0","method":"fail"},{"jsonrpc":"2.0","method":"nothing"}]`,
		`{"jsonrpc":"2.0","id":99,"result":1}`,
		`{"jsonrpc":"2.0","method":"$/cancel","params":{"id":5}}`,
		`{"jsonrpc":"2.0","method":"$/cancel","params":3}`,
		`{"jsonrpc":"2.0","id":1,"method":"echo","params":[]}`,
	} {
		if err := near.Write([]byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := near.Read()
	if err != nil || string(got) != `{"jsonrpc":"2.0","id":1,"result":[]}` {
		t.Fatalf("first answer is %s, %v", got, err)
	}
}

func TestCallsBothWays(t *testing.T) {
	for _, batching := range []bool{false, true} {
		a, b := newPipe()
		x, y := run(t, a, handler{request: echo}, batching), run(t, b, handler{request: echo}, batching)
		ctx := within(t)
		var calls sync.WaitGroup
		for i := range 200 {
			for _, p := range []*jsonrpc.Peer{x, y} {
				calls.Go(func() {
					var got []int
					if err := p.Call(ctx, "echo", []int{i}, &got); err != nil || len(got) != 1 || got[0] != i {
						t.Errorf("call %d: %v, %v", i, got, err)
					}
					var remote *jsonrpc.Error
					if err := p.Call(ctx, "fail", nil, nil); !errors.As(err, &remote) || remote.Message != "as asked" || jsonrpc.Lost(err) {
						t.Errorf("failing call %d: %v", i, err)
					}
				})
			}
		}
		calls.Wait()
	}
}

func TestNotificationsKeepTheirOrder(t *testing.T) {
	a, b := newPipe()
	const n = 20000
	next, done := 0, make(chan struct{})
	run(t, b, handler{notify: func(_ string, params json.RawMessage) {
		if string(params) != fmt.Sprint(next) {
			t.Errorf("notification %s came when %d was due", params, next)
		}
		if next++; next == n {
			close(done)
		}
	}}, true)
	p := run(t, a, handler{}, true)
	for i := range n {
		if err := p.Notify(within(t), "n", i); err != nil {
			t.Fatal(err)
		}
	}
	<-done
}

func TestCancelEndsTheFarHandler(t *testing.T) {
	a, b := newPipe()
	began, ended := make(chan struct{}), make(chan error, 1)
	run(t, b, handler{request: func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}, true)
	p := run(t, a, handler{}, true)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-began
		cancel()
	}()
	if err := p.Call(ctx, "wait", nil, nil); !errors.Is(err, context.Canceled) || jsonrpc.Lost(err) {
		t.Errorf("cancelled call ended with %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("far handler ended with %v", err)
	}
}

// TestStuckConnection: a far side that does not read holds up nobody beyond their context, and calls that wait when the
// connection goes are all told.
func TestStuckConnection(t *testing.T) {
	near, far := newPipe() // nobody reads far
	p := run(t, near, handler{}, true)
	ctx, cancel := context.WithCancel(context.Background())
	text := strings.Repeat("x", 1<<20)
	sent := 0
	full := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for {
			if err := p.Notify(ctx, "n", text); err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			if sent++; sent == 8 {
				close(full)
			}
			if sent > 20 {
				t.Error("nothing pushes back")
				return
			}
		}
	})
	<-full
	cancel()
	waiting.Wait()
	var lost atomic.Int64
	for range 100 {
		waiting.Go(func() {
			if err := p.Call(context.Background(), "m", nil, nil); jsonrpc.Lost(err) {
				lost.Add(1)
			} else {
				t.Errorf("call ended with %v", err)
			}
		})
	}
	if err := p.Queue("small", nil); err != nil {
		t.Error(err)
	}
	waiting.Go(func() {
		if err := p.Flush(context.Background()); !jsonrpc.Lost(err) {
			t.Errorf("flush ended with %v", err)
		}
	})
	far.Close()
	waiting.Wait()
	if err := p.Call(context.Background(), "m", nil, nil); !jsonrpc.Lost(err) || lost.Load() != 100 {
		t.Errorf("later call: %v; %d calls were told", err, lost.Load())
	}
	if err := p.Notify(context.Background(), "m", nil); !jsonrpc.Lost(err) {
		t.Errorf("later notification: %v", err)
	}
}

// TestCloseUnderLoad closes one end while both call, notify and answer: all of them end.
func TestCloseUnderLoad(t *testing.T) {
	for range 20 {
		a, b := newPipe()
		x, y := run(t, a, handler{request: echo}, true), run(t, b, handler{request: echo}, true)
		var busy sync.WaitGroup
		started := make(chan struct{}, 16)
		for i := range 8 {
			p := []*jsonrpc.Peer{x, y}[i%2]
			busy.Go(func() {
				for n := 0; ; n++ {
					err := p.Call(context.Background(), "echo", []int{n}, nil)
					if err == nil {
						err = p.Notify(context.Background(), "n", n)
					}
					if err != nil {
						if !jsonrpc.Lost(err) {
							t.Error(err)
						}
						return
					}
					if n == 10 {
						started <- struct{}{}
					}
				}
			})
		}
		<-started
		x.Close()
		busy.Wait()
		<-y.Lost()
	}
}

func TestTooLargeAnswerIsAnError(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a gigabyte")
	}
	a, b := newPipe()
	run(t, b, handler{request: func(context.Context, string, json.RawMessage) (any, error) {
		return raw(make([]byte, jsonrpc.MaxFrame)), nil
	}}, true)
	p := run(t, a, handler{}, true)
	err := p.Call(within(t), "m", nil, nil)
	if err == nil || jsonrpc.Lost(err) || !strings.Contains(err.Error(), "ask for less") {
		t.Errorf("too large an answer gives %v", err)
	}
	if err := p.Notify(within(t), "m", raw(make([]byte, jsonrpc.MaxFrame))); !errors.Is(err, jsonrpc.ErrTooLarge) || jsonrpc.Lost(err) {
		t.Errorf("too large a notification gives %v", err)
	}
}

type raw []byte

func (r raw) AppendJSON(b []byte) ([]byte, error) { return append(b, r...), nil }

// FuzzFrame sends arbitrary frames to a live peer, which must neither panic nor hang: after them it answers, or has closed
// the connection.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}`, `[{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":"x","method":"fail"}]`,
		`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}`, `[]`, `[[]]`, `{"a":"\`,
		`{"jsonrpc":"2.0","method":"$/cancel","params":{"id":1}}`, `{"jsonrpc":"2.0","id":1,"id":2,"method":"echo","params":{"a":[{"]":1}]}}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, frame []byte, batching bool) {
		near, far := newPipe()
		run(t, far, handler{request: echo}, batching)
		if err := near.Write(frame); err != nil {
			t.Fatal(err)
		}
		go near.Write([]byte(`{"jsonrpc":"2.0","id":"the end","method":"echo","params":[]}`))
		for {
			answer, err := near.Read()
			if err != nil {
				if json.Valid(frame) {
					t.Fatalf("frame %q is JSON, but ended the connection", frame)
				}
				return
			}
			if !json.Valid(answer) {
				t.Fatalf("answer %q to %q is not JSON", answer, frame)
			}
			if strings.Contains(string(answer), `"the end"`) {
				return
			}
		}
	})
}

// FuzzScan holds Scan against encoding/json: what it takes for plain is what encoding/json sees.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"b":"x"}`, `{"a":[1,{"b":"]"}],"c":null}`, ` { "a" : -0 } `, `{"a":01}`, `{"a":1,}`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := map[string]json.RawMessage{}
		if !jsonrpc.Scan(data, func(key, value []byte) bool {
			got[string(key)] = value
			_, plainKey := jsonrpc.PlainString([]byte(`"` + string(key) + `"`))
			return plainKey && (value[0] != '{' && value[0] != '[' && value[0] != '"' || json.Valid(value))
		}) {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d", data, len(got), len(want))
		}
		for key, value := range want {
			if string(got[key]) != string(value) {
				t.Fatalf("%q: %q is %q, want %q", data, key, got[key], value)
			}
		}
	})
}

// brief is a connection that takes only so much of a frame, and skips the rest.
type brief struct {
	jsonrpc.Conn
	most int
}

func (b brief) Read() ([]byte, error) {
	frame, err := b.Conn.Read()
	if err == nil && len(frame) > b.most {
		return frame[:b.most], &jsonrpc.SkippedError{Cause: &jsonrpc.Error{Code: 1005, Message: "too large"}}
	}
	return frame, err
}

func TestASkippedFrameIsAnswered(t *testing.T) {
	a, b := newPipe()
	run(t, brief{b, 1000}, handler{request: echo}, true)
	p := run(t, a, handler{}, true)
	for range 3 {
		var far *jsonrpc.Error
		err := p.Call(within(t), "echo", raw(`"`+strings.Repeat("x", 2000)+`"`), nil)
		if !errors.As(err, &far) || far.Code != 1005 {
			t.Fatalf("a frame that was skipped gives %v", err)
		}
		if err := p.Call(within(t), "echo", raw(`"x"`), nil); err != nil {
			t.Fatalf("behind it: %v", err)
		}
	}
	for _, unknown := range []string{`{"jsonrpc":"2.0","method":"echo","params":"`, `["`, `{"id":[1],"params":"`} {
		a, b := newPipe()
		far := run(t, brief{b, 1000}, handler{request: echo}, true)
		if err := a.Write([]byte(unknown + strings.Repeat("x", 2000))); err != nil {
			t.Fatal(err)
		}
		<-far.Lost() // whose it was is not known: nobody could be told
	}
}

// admitting is a handler that has room for so many bytes of calls.
type admitting struct {
	handler
	room *atomic.Int64
}

func (h admitting) Admit(bytes int) (func(), error) {
	if h.room.Add(-int64(bytes)) < 0 {
		h.room.Add(int64(bytes))
		return nil, &jsonrpc.Error{Code: 1000, Message: "no room"}
	}
	return func() { h.room.Add(int64(bytes)) }, nil
}

func TestCallsAreAdmitted(t *testing.T) {
	a, b := newPipe()
	var room atomic.Int64
	room.Store(10)
	begun := make(chan struct{})
	far := jsonrpc.New(b, admitting{handler{request: func(ctx context.Context, method string, params json.RawMessage) (any, error) {
		if method == "wait" {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return echo(ctx, method, params)
	}}, &room}, true)
	var running sync.WaitGroup
	running.Go(func() { far.Run(t.Context()) })
	p := run(t, a, handler{}, true)
	ctx, cancel := context.WithCancel(within(t))
	waited := make(chan error, 1)
	go func() { waited <- p.Call(ctx, "wait", raw(`"123456"`), nil) }()
	<-begun
	if err := p.Call(within(t), "echo", raw(`"1"`), nil); err == nil {
		t.Error("a call is answered for which there is no room")
	}
	if err := p.Call(within(t), "echo", raw(`1`), nil); err != nil {
		t.Errorf("a call for which there is room: %v", err)
	}
	cancel()
	<-waited
	p.Close()
	running.Wait()
	if room.Load() != 10 {
		t.Errorf("%d bytes of room are left in the end", room.Load())
	}
}
