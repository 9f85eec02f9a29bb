package exchange_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// hostVariable has this test's program be a host in a process of its own, as its value says.
const hostVariable = "COMA_TEST_EXCHANGE_HOST"

func TestMain(m *testing.M) {
	peers.BeNATS()
	if text := os.Getenv(hostVariable); text != "" {
		if err := beHost(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		// The NATS server's, which is linked in: its clock.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.5.func1"),
	)
}

// hostOptions say what a host's process does: it runs a backend and a module named after the host, of agent "a", which
// sends numbered messages to the others' and reads its own.
type hostOptions struct {
	Name   string
	Dir    string
	Broker string // URL
	To     []string
	First  int // number of the first message
	Last   int // and of the last one
}

// beHost runs until standard input ends. It writes "accepted <to> <n>" and "received <from> <n> <seq>", each when it is so.
func beHost(text string) error {
	var opt hostOptions
	if err := json.Unmarshal([]byte(text), &opt); err != nil {
		return err
	}
	b, err := backend.Open(backend.Options{
		Folders: folders.Folders{Data: filepath.Join(opt.Dir, "data"), State: filepath.Join(opt.Dir, "state"), Runtime: filepath.Join(opt.Dir, "run")},
		Uplink:  backend.Uplink{URL: opt.Broker, HostName: opt.Name, NoMirror: true},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	host, err := b.Attach(ctx, api.Attachment{Agent: "a", PID: os.Getpid(), Modules: []string{opt.Name}, Durable: true}, silent{})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	seat, err := host.Open(ctx, api.Identity{Agent: "a", Module: opt.Name, Generation: 1})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			m, err := seat.Receive(ctx)
			if err != nil {
				return
			}
			fmt.Printf("received %s %s %d\n", strings.TrimPrefix(m.From, "a/"), m.Text, m.Seq)
		}
	})
	for _, to := range opt.To {
		work.Go(func() {
			for n := opt.First; n <= opt.Last && ctx.Err() == nil; {
				switch err := seat.Send(ctx, api.Message{To: to, Text: fmt.Sprint(n)}); {
				case err == nil:
					fmt.Printf("accepted %s %d\n", to, n)
					n++
				case errors.Is(err, api.ErrUnknown): // it has not been heard of yet
					time.Sleep(10 * time.Millisecond)
				case ctx.Err() == nil:
					fmt.Fprintln(os.Stderr, err)
					return
				}
			}
		})
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	work.Wait()
	return errors.Join(err, seat.Close(api.Stopped), host.Close(), b.Close())
}

type silent struct{}

func (silent) Log(_ string, e api.LogEntry)                          { fmt.Fprintln(os.Stderr, e) }
func (silent) Print(string, string)                                  {}
func (silent) Input(context.Context, string, string) (string, error) { return "", api.ErrNoInput }

// ledger is what hosts have said that they have accepted and received.
type ledger struct {
	mu       sync.Mutex
	accepted map[string][]int // by "from to"
	received map[string][]int // likewise
	seqs     map[string]map[string]bool
	again    int // times that a mailbox gave a message again after a kill
	change   chan struct{}
}

func newLedger() *ledger {
	return &ledger{accepted: map[string][]int{}, received: map[string][]int{}, seqs: map[string]map[string]bool{}, change: make(chan struct{}, 1)}
}

func (l *ledger) note(host, text string) {
	var verb, other, seq string
	var n int
	fmt.Sscan(text, &verb, &other, &n, &seq) // "accepted" has no seq
	l.mu.Lock()
	defer l.mu.Unlock()
	switch verb {
	case "accepted":
		l.accepted[host+" "+other] = append(l.accepted[host+" "+other], n)
	case "received":
		if l.seqs[host] == nil {
			l.seqs[host] = map[string]bool{}
		}
		if l.seqs[host][seq] {
			l.again++ // what was finished with when the host was killed, whose mailbox did not know it yet
			return
		}
		l.seqs[host][seq] = true
		l.received[other+" "+host] = append(l.received[other+" "+host], n)
	}
	select {
	case l.change <- struct{}{}:
	default:
	}
}

// last returns the highest number that a host has accepted for any other.
func (l *ledger) last(host string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for way, numbers := range l.accepted {
		if strings.HasPrefix(way, host+" ") {
			n = max(n, slices.Max(numbers))
		}
	}
	return n
}

// missing says what was accepted and has not been received.
func (l *ledger) missing() (ways []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for way, numbers := range l.accepted {
		got := map[int]bool{}
		for _, n := range l.received[way] {
			got[n] = true
		}
		lost := 0
		for _, n := range numbers {
			if !got[n] {
				lost++
			}
		}
		if lost > 0 {
			ways = append(ways, fmt.Sprintf("%s: %d of %d", way, lost, len(numbers)))
		}
	}
	return ways
}

// await waits until all that was accepted has been received.
func (l *ledger) await(t *testing.T, patience time.Duration) {
	t.Helper()
	late := time.After(patience)
	for {
		missing := l.missing()
		if missing == nil {
			return
		}
		select {
		case <-l.change:
		case <-late:
			t.Fatalf("accepted and not received: %q", missing)
		}
	}
}

// awaitAccepted waits until a host has accepted so many messages in all.
func (l *ledger) awaitAccepted(t *testing.T, host string, n int) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		l.mu.Lock()
		sum := 0
		for way, numbers := range l.accepted {
			if strings.HasPrefix(way, host+" ") {
				sum += len(numbers)
			}
		}
		l.mu.Unlock()
		if sum >= n {
			return
		}
		select {
		case <-l.change:
		case <-late:
			t.Fatalf("%s has accepted %d messages, not %d", host, sum, n)
		}
	}
}

// check checks that each receiver got each sender's messages in order, none of them twice.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for way, numbers := range l.received {
		for i := 1; i < len(numbers); i++ {
			if numbers[i] <= numbers[i-1] {
				t.Fatalf("%s: %d came after %d", way, numbers[i], numbers[i-1])
			}
		}
	}
	for way, numbers := range l.accepted {
		t.Logf("%s: %d accepted, %d received", way, len(numbers), len(l.received[way]))
	}
	t.Logf("%d given again by a mailbox after a kill", l.again)
}

// process is a host's process.
type process struct {
	t       *testing.T
	opt     hostOptions
	ledger  *ledger
	prefix  []string
	command *exec.Cmd
	stdin   io.Closer
	read    sync.WaitGroup
	output  strings.Builder
}

func (p *process) start() {
	p.t.Helper()
	text, err := json.Marshal(p.opt)
	if err != nil {
		p.t.Fatal(err)
	}
	words := append(slices.Clone(p.prefix), os.Args[0])
	p.command = exec.Command(words[0], words[1:]...)
	p.command.Env = append(os.Environ(), hostVariable+"="+string(text))
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.output.Reset()
	p.command.Stderr = &p.output
	stdin, err := p.command.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.stdin = stdin
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.read.Go(func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			p.ledger.note(p.opt.Name, lines.Text())
		}
	})
}

// awaitSent waits until all that it is to send has been accepted.
func (p *process) awaitSent() {
	p.t.Helper()
	late := time.After(2 * time.Minute)
	for _, to := range p.opt.To {
		for {
			p.ledger.mu.Lock()
			numbers := p.ledger.accepted[p.opt.Name+" "+to]
			sent := len(numbers) > 0 && numbers[len(numbers)-1] == p.opt.Last
			p.ledger.mu.Unlock()
			if sent {
				break
			}
			select {
			case <-p.ledger.change:
			case <-late:
				p.t.Fatalf("%s has not sent all to %s", p.opt.Name, to)
			}
		}
	}
}

// kill ends it at once; stop lets it end.
func (p *process) kill() {
	p.t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	p.read.Wait()
	p.command.Wait() // says that it was killed
}

func (p *process) stop() {
	p.t.Helper()
	p.stdin.Close()
	p.read.Wait()
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("host %s: %v\n%s", p.opt.Name, err, p.output.String())
	}
}

// again starts a host that was killed. What it had accepted last may not have been said, so numbering goes on further up.
func (p *process) again(more int) {
	p.opt.First = p.ledger.last(p.opt.Name) + 10
	p.opt.Last = p.opt.First + more
	p.start()
}
