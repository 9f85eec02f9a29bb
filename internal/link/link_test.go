package link_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// The test binary is also the processes that the tests kill.
const (
	hostVariable = "COMA_TEST_HOST" // be a host, with its folders in this one
	// be a program of module "m" at this address, that takes a message and hangs
	continueVariable = "COMA_TEST_CONTINUE"
	moduleVariable   = "COMA_TEST_MODULE" // be module "m" at this address: print each message, and go on when told by a line
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(hostVariable) != "":
		err = beHost(os.Getenv(hostVariable))
	case os.Getenv(moduleVariable) != "":
		err = beModule(os.Getenv(moduleVariable))
	case os.Getenv(continueVariable) != "":
		err = beReceiver(os.Getenv(continueVariable))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func beHost(dir string) error {
	b, err := backend.Open(backend.Options{Folders: foldersIn(dir), Daemon: true})
	if err != nil {
		return err
	}
	fmt.Println("open")
	io.Copy(io.Discard, os.Stdin) // until the test lets go
	return b.Close()
}

func beModule(address string) error {
	s, err := link.Open(context.Background(), address, "", api.Identity{Agent: "a", Module: "m", Generation: 1})
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for {
		m, err := s.Receive(context.Background())
		if err != nil {
			return err
		}
		fmt.Println(m.Text)
		if !lines.Scan() {
			return nil
		}
	}
}

func foldersIn(dir string) folders.Folders {
	return folders.Folders{Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")}
}

func addressIn(dir string) string { return "unix://" + filepath.Join(dir, "run", "backend.sock") }

// process starts this test binary as one of its other selves.
func process(t *testing.T, variable, value string) (*exec.Cmd, io.WriteCloser, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+value)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, in, bufio.NewScanner(out)
}

func startHost(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd, _, out := process(t, hostVariable, dir)
	if !out.Scan() || out.Text() != "open" {
		t.Fatalf("host said %q, %v", out.Text(), out.Err())
	}
	return cmd
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, address string) *link.Client {
	t.Helper()
	c, err := link.Dial(within(t), address, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func seat(t *testing.T, address, module string, generation int) *link.Session {
	t.Helper()
	s, err := link.Open(within(t), address, "", api.Identity{Agent: "a", Module: module, Generation: generation})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(api.Stopped) })
	return s
}

// console answers every Input with what was asked.
type console struct{}

func (console) Log(string, api.LogEntry) {}
func (console) Print(string, string)     {}
func (console) Input(_ context.Context, module, prompt string) (string, error) {
	return module + " " + prompt, nil
}

// host opens a backend in this process, with agent a attached.
func host(t *testing.T, as api.Attachment) (*backend.Backend, api.Host, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := backend.Open(backend.Options{Folders: foldersIn(dir), Daemon: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	as.Agent = "a"
	h, err := client(t, addressIn(dir)).Attach(within(t), as, console{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return b, h, addressIn(dir)
}

// exchange lets from send numbered messages to to until the storm is over, and checks that all arrive, once and in order.
func exchange(t *testing.T, from, to *link.Session, storm func()) {
	t.Helper()
	ctx := within(t)
	over := make(chan struct{})
	sent, received := 0, 0
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			if err := from.Send(ctx, api.Message{To: to.Identity().Module, Text: fmt.Sprint(sent)}); err != nil {
				t.Errorf("send %d: %v", sent, err)
				return
			}
			sent++
			select {
			case <-over:
				if err := from.Send(ctx, api.Message{To: to.Identity().Module, Text: "end"}); err != nil {
					t.Error(err)
				}
				return
			default:
			}
		}
	})
	busy.Go(func() {
		for {
			m, err := to.Receive(ctx)
			if err != nil {
				t.Errorf("receive %d: %v", received, err)
				return
			}
			if m.Text == "end" {
				return
			}
			if m.Text != fmt.Sprint(received) {
				t.Errorf("message %s came when %d was due", m.Text, received)
				return
			}
			received++
		}
	})
	storm()
	close(over)
	busy.Wait()
	if sent != received || sent == 0 {
		t.Errorf("%d messages sent, %d received", sent, received)
	}
	t.Logf("%d messages", sent)
}

// TestHostKilled kills a durable agent's host with kill -9 and starts it again, while modules talk, ask and listen.
func TestHostKilled(t *testing.T) {
	dir := t.TempDir()
	running := startHost(t, dir)
	address := addressIn(dir)
	h, err := client(t, address).Attach(within(t), api.Attachment{Agent: "a", PID: os.Getpid(), Durable: true, Modules: []string{"from", "to", "other"}}, console{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	from, to, other := seat(t, address, "from", 1), seat(t, address, "to", 1), seat(t, address, "other", 1)
	ctx := within(t)
	if err := other.Subscribe(ctx, "sensors/+"); err != nil {
		t.Fatal(err)
	}
	exchange(t, from, to, func() {
		for i := range 20 {
			if got, err := other.Input(ctx, fmt.Sprint(i)); err != nil || got != fmt.Sprintf("other %d", i) {
				t.Errorf("input: %q, %v", got, err)
			}
			if err := other.Keep(ctx, "i", []byte(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
			if err := running.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			running.Wait()
			running = startHost(t, dir)
			if got, ok, err := other.Kept(ctx, "i"); err != nil || !ok || string(got) != fmt.Sprint(i) {
				t.Errorf("kept: %q, %t, %v", got, ok, err)
			}
		}
	})
	// Subscriptions are there again, and so is the agent.
	if err := from.Publish(ctx, api.Publication{Topic: "sensors/soil", Payload: []byte("dry")}); err != nil {
		t.Fatal(err)
	}
	if m, err := other.Receive(ctx); err != nil || m.Text != "dry" || m.Topic != "sensors/soil" {
		t.Errorf("publication: %+v, %v", m, err)
	}
	// The attachment has a connection of its own, which on a busy machine is back later than the seats'.
	var agents []api.AgentState
	for tool, err := client(t, address), error(nil); len(agents) == 0; {
		if agents, err = tool.Agents(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(agents) != 1 || agents[0].Agent != "a" {
		t.Errorf("agents: %+v", agents)
	}
	for _, s := range []*link.Session{from, to, other} {
		if err := s.Close(api.Finished); err != nil {
			t.Error(err)
		}
	}
}

// cuts is a socket before a host that loses its connections when told.
type cuts struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

func newCuts(t *testing.T, host string) (*cuts, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := &cuts{listener: listener}
	var pumps sync.WaitGroup
	pumps.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", strings.TrimPrefix(host, "unix://"))
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, near, far)
			c.mu.Unlock()
			for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
				pumps.Go(func() {
					io.Copy(ends[0], ends[1])
					ends[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		c.cut()
		pumps.Wait()
	})
	return c, "unix://" + path
}

func (c *cuts) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// TestConnectionCut loses connections, in the middle of frames, while the host lives on.
func TestConnectionCut(t *testing.T) {
	_, _, address := host(t, api.Attachment{Modules: []string{"from", "to"}})
	c, cut := newCuts(t, address)
	from, to := seat(t, cut, "from", 1), seat(t, cut, "to", 1)
	other := seat(t, address, "other", 1)
	exchange(t, from, to, func() {
		for range 100 {
			c.cut()
			// As long as a round trip takes.
			if _, err := other.Pending(within(t)); err != nil {
				t.Error(err)
			}
			if _, err := from.Pending(within(t)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestReceiveWaitsAcrossACut also checks that what the host takes for in hand is so after the connection was made again.
func TestReceiveWaitsAcrossACut(t *testing.T) {
	b, _, address := host(t, api.Attachment{})
	c, cut := newCuts(t, address)
	to, from := seat(t, cut, "to", 1), seat(t, address, "from", 1)
	ctx := within(t)
	for i := range 20 {
		got := make(chan api.Message, 1)
		go func() {
			m, err := to.Receive(ctx)
			if err != nil {
				t.Error(err)
			}
			got <- m
		}()
		if i%2 == 0 {
			c.cut()
		}
		if err := from.Send(ctx, api.Message{To: "to", Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			c.cut()
		}
		if m := <-got; m.Text != fmt.Sprint(i) {
			t.Fatalf("got %q, want %d", m.Text, i)
		}
		if n, err := to.Pending(ctx); err != nil || n != 0 {
			t.Errorf("%d pending, %v", n, err)
		}
		waiting, err := b.Waiting(ctx, "a", "to", false)
		if err != nil || len(waiting) != 1 || waiting[0].Text != fmt.Sprint(i) {
			t.Errorf("in hand: %+v, %v", waiting, err)
		}
	}
}

func TestPendingAndTryReceiveAreExact(t *testing.T) {
	_, _, address := host(t, api.Attachment{})
	ctx := within(t)
	for round := range 10 {
		name := fmt.Sprintf("to%d", round) // a fresh mailbox: its first message is held up until its number is on disk
		to, from := seat(t, address, name, 1), seat(t, address, "from", 1)
		if m, ok, err := to.TryReceive(ctx); ok || err != nil {
			t.Fatalf("%+v, %v", m, err)
		}
		pending := func(want int) {
			t.Helper()
			if n, err := to.Pending(ctx); err != nil || n != want {
				t.Fatalf("%d pending, want %d, %v", n, want, err)
			}
		}
		for i := range 300 { // more than the window
			if err := from.Send(ctx, api.Message{To: name, Text: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				if m, ok, err := to.TryReceive(ctx); !ok || err != nil || m.Text != "0" {
					t.Fatalf("the first: %+v, %t, %v", m, ok, err)
				}
				pending(0)
			} else {
				pending(i)
			}
		}
		for i := 1; i < 300; i++ {
			if m, ok, err := to.TryReceive(ctx); !ok || err != nil || m.Text != fmt.Sprint(i) {
				t.Fatalf("message %d: %+v, %t, %v", i, m, ok, err)
			}
			pending(299 - i)
		}
		if _, ok, err := to.TryReceive(ctx); ok || err != nil {
			t.Fatal(ok, err)
		}
		// A Receive that gives up has nothing in hand, even where a message is on its way to it.
		for range 20 {
			short, cancel := context.WithCancel(ctx)
			go cancel()
			if err := from.Send(ctx, api.Message{To: name, Text: "late"}); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Receive(short); err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				pending(1)
				if m, ok, err := to.TryReceive(ctx); !ok || err != nil || m.Text != "late" {
					t.Fatalf("%+v, %t, %v", m, ok, err)
				}
			}
			pending(0)
		}
		to.Close(api.Finished)
		from.Close(api.Finished)
	}
}

// TestDeathsCountOnTheMessageInHand kills a module's process over and over: messages that were pushed ahead of the one
// that kills it are none the worse.
func TestDeathsCountOnTheMessageInHand(t *testing.T) {
	b, h, address := host(t, api.Attachment{Modules: []string{"m"}})
	from := seat(t, address, "from", 1)
	ctx := within(t)
	for i := range 6 {
		text := fmt.Sprint(i)
		if i == 2 {
			text = "poison"
		}
		if err := from.Send(ctx, api.Message{To: "m", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for range 5 {
		cmd, in, out := process(t, moduleVariable, address)
		for out.Scan() {
			seen = append(seen, out.Text())
			if out.Text() == "poison" {
				break
			}
			fmt.Fprintln(in)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if err := h.Ended(ctx, api.Identity{Agent: "a", Module: "m", Generation: 1}, api.Died); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(seen, " "); got != "0 1 poison poison poison poison poison" {
		t.Errorf("the module saw %s", got)
	}
	dead, err := b.Waiting(ctx, "a", "m", true)
	if err != nil || len(dead) != 1 || dead[0].Text != "poison" || dead[0].Deaths != 5 {
		t.Errorf("dead letters: %+v, %v", dead, err)
	}
	waiting, err := b.Waiting(ctx, "a", "m", false)
	if err != nil || len(waiting) != 3 {
		t.Errorf("waiting: %+v, %v", waiting, err)
	}
	for _, m := range waiting {
		if m.Deaths != 0 {
			t.Errorf("message %s has %d deaths", m.Text, m.Deaths)
		}
	}
}

// TestLastWordsOfADeadProcess: what a process has finished with just before it was killed counts, however soon its end
// is told.
func TestLastWordsOfADeadProcess(t *testing.T) {
	b, h, address := host(t, api.Attachment{Modules: []string{"m"}})
	from := seat(t, address, "from", 1)
	ctx := within(t)
	for i := range 10 {
		if err := from.Send(ctx, api.Message{To: "m", Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		cmd, in, out := process(t, moduleVariable, address)
		for range 2 {
			if !out.Scan() {
				t.Fatal(out.Err())
			}
			if out.Text() == fmt.Sprint(2*i+1) {
				break // it has told the host that it is done with 2i before it printed this
			}
			fmt.Fprintln(in)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if err := h.Ended(ctx, api.Identity{Agent: "a", Module: "m", Generation: 1}, api.Stopped); err != nil {
			t.Fatal(err)
		}
		waiting, err := b.Waiting(ctx, "a", "m", false)
		if err != nil || len(waiting) == 0 || waiting[0].Text != fmt.Sprint(2*i+1) {
			t.Fatalf("round %d: first in line is %+v, %v", i, waiting, err)
		}
		last := seat(t, address, "m", 1)
		if m, err := last.Receive(ctx); err != nil || m.Text != fmt.Sprint(2*i+1) {
			t.Fatalf("%+v, %v", m, err)
		}
		if err := last.Close(api.Finished); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReplacedAndRemoved(t *testing.T) {
	_, h, address := host(t, api.Attachment{Modules: []string{"m"}})
	ctx := within(t)
	from, old := seat(t, address, "from", 1), seat(t, address, "m", 1)
	for i := range 300 { // the window is full: the old one learns of its end all the same
		if err := from.Send(ctx, api.Message{To: "m", Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := old.Receive(ctx); err != nil || m.Text != "0" {
		t.Fatal(m, err)
	}
	young := seat(t, address, "m", 2)
	for {
		m, err := old.Receive(ctx)
		if err != nil {
			if !errors.Is(err, api.ErrReplaced) {
				t.Errorf("old generation: %v", err)
			}
			break
		}
		if m.Text == "299" {
			t.Fatal("the old generation is never told")
		}
	}
	if err := old.Close(api.Stopped); err != nil {
		t.Errorf("close of a replaced session: %v", err)
	}
	if m, err := young.Receive(ctx); err != nil || m.Text != "0" || m.Deaths != 0 {
		t.Errorf("new generation: %+v, %v", m, err)
	}
	if err := h.Remove(ctx, "m"); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := young.Receive(ctx); err != nil {
			if !errors.Is(err, api.ErrClosed) && !errors.Is(err, api.ErrUnknown) {
				t.Errorf("removed module: %v", err)
			}
			break
		}
	}
}

func TestOneHostAnAgent(t *testing.T) {
	b, h, address := host(t, api.Attachment{PID: 4711, Project: "/garden"})
	ctx := within(t)
	_, err := client(t, address).Attach(ctx, api.Attachment{Agent: "a", PID: 1}, console{})
	if !errors.Is(err, api.ErrInUse) || !strings.Contains(err.Error(), "4711") || !strings.Contains(err.Error(), "/garden") {
		t.Errorf("second host: %v", err)
	}
	if _, err = b.Attach(ctx, api.Attachment{Agent: "a"}, console{}); !errors.Is(err, api.ErrInUse) {
		t.Errorf("third host: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := client(t, address).Attach(ctx, api.Attachment{Agent: "a"}, console{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestHostAway: with the host gone, calls end with their context, and Close is short.
func TestHostAway(t *testing.T) {
	dir := t.TempDir()
	running := startHost(t, dir)
	h, err := client(t, addressIn(dir)).Attach(within(t), api.Attachment{Agent: "a"}, console{})
	if err != nil {
		t.Fatal(err)
	}
	s := seat(t, addressIn(dir), "m", 1)
	running.Process.Kill()
	running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	calls := map[string]func() error{
		"send":       func() error { return s.Send(ctx, api.Message{To: "m"}) },
		"receive":    func() error { _, err := s.Receive(ctx); return err },
		"tryreceive": func() error { _, _, err := s.TryReceive(ctx); return err },
		"input":      func() error { _, err := s.Input(ctx, "?"); return err },
		"subscribe":  func() error { return s.Subscribe(ctx, "x") },
		"log":        func() error { return s.Log(ctx, api.LogEntry{}) },
		"memory":     func() error { _, err := s.Memory().Count(ctx, nil); return err },
		"report":     func() error { return h.Report(ctx, api.ModuleState{Module: "m"}) },
	}
	var waiting sync.WaitGroup
	for name, call := range calls {
		waiting.Go(func() {
			if err := call(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	waiting.Wait()
	if err := s.Close(api.Finished); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	if err := h.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("detach: %v", err)
	}
	if _, err := s.Receive(within(t)); !errors.Is(err, api.ErrClosed) {
		t.Errorf("receive of a closed session: %v", err)
	}
}

func TestAllKindsOfText(t *testing.T) {
	b, _, address := host(t, api.Attachment{})
	from, to := seat(t, address, "from", 1), seat(t, address, "to", 1)
	ctx := within(t)
	deadline := time.Unix(1900000000, 5)
	texts := []string{
		"", "plain", "schön 日本 \"quoted\" \\ \n\t\r \u2028 <&>", "\x00\x01\x1f", "\xff\xfe not UTF-8 \xc3",
		strings.Repeat("\x01", api.MaxMessageBytes), strings.Repeat("ü", api.MaxMessageBytes/2), strings.Repeat("<", 1<<20),
	}
	for _, text := range texts {
		ctx := within(t)
		sent := api.Message{
			To: "to", Text: text, ContentType: "text/x\"", Headers: map[string]string{"traceparent": "00-ü", "": "\n"},
			ReplyTo: "a/from", CorrelationID: "c", Deadline: deadline,
		}
		if err := from.Send(ctx, sent); err != nil {
			t.Fatal(err)
		}
		got, err := to.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got.Text != text || got.From != "a/from" || got.ContentType != sent.ContentType || got.Headers["traceparent"] != "00-ü" ||
			got.Headers[""] != "\n" || got.ReplyTo != "a/from" || got.CorrelationID != "c" || !got.Deadline.Equal(deadline) || got.ID == "" {
			t.Errorf("%.20q... (%d bytes) came as %.20q... (%d bytes)", text, len(text), got.Text, len(got.Text))
		}
		if _, err := to.Pending(ctx); err != nil { // by its answer the host has heard that the one before is finished with
			t.Fatal(err)
		}
		viaTool, err := client(t, address).Waiting(ctx, "a", "to", false)
		if err != nil || len(viaTool) != 1 || viaTool[0].Text != text {
			t.Errorf("%.20q over the tools' call: %d messages, %v", text, len(viaTool), err)
		}
	}
	if err := from.Send(ctx, api.Message{To: "to", Text: strings.Repeat("x", api.MaxMessageBytes+1)}); !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("too large a message: %v", err)
	}
	if err := b.Post(ctx, "cli", api.Message{To: "a/too"}); !errors.Is(err, api.ErrUnknown) || !strings.Contains(err.Error(), "to") {
		t.Errorf("unknown module: %v", err)
	}
}

// TestSendersBeyondALimit: more senders than the host serves at once wait for room in a full mailbox, and the mailbox's
// module, behind the same connection, still makes that room.
func TestSendersBeyondALimit(t *testing.T) {
	_, _, address := host(t, api.Attachment{Limit: 10})
	self := seat(t, address, "self", 1)
	ctx := within(t)
	const n = 1500
	var sending sync.WaitGroup
	for i := range n {
		sending.Go(func() {
			if err := self.Send(ctx, api.Message{To: "self", Text: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	seen := map[string]bool{}
	for range n {
		m, err := self.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if seen[m.Text] {
			t.Fatalf("message %s came twice", m.Text)
		}
		seen[m.Text] = true
	}
	sending.Wait()
}
