package js_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// hostVariable makes the test binary a host with its folders in the one that it names: the tests in JavaScript start it,
// kill it and start it again (test/host.js).
const hostVariable = "COMA_TEST_HOST"

func TestMain(m *testing.M) {
	dir := os.Getenv(hostVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := beHost(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// beHost runs agent "a", and "b", whose mailboxes hold one message and whose memory is away, until standard input ends. It
// tells on standard output, a JSON object a line, where it is and what the agents' modules say to the outside.
func beHost(dir string) error {
	p, err := freePorts()
	if err != nil {
		return err
	}
	b, err := openHost(dir, p)
	if err != nil {
		return err
	}
	ctx := context.Background()
	c := &console{out: json.NewEncoder(os.Stdout)}
	host, err := b.Attach(ctx, api.Attachment{Agent: "a", PID: os.Getpid(), Modules: []string{"m", "other"}, Limit: 20000}, c)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	narrow, err := b.Attach(ctx, api.Attachment{
		Agent: "b", PID: os.Getpid(), Modules: []string{"m", "other"}, Limit: 1, Memory: api.MemorySettings{At: "http://127.0.0.1:1"},
	}, &console{out: json.NewEncoder(io.Discard)}) // it would tell when the host finds the memory away
	if err != nil {
		return errors.Join(err, host.Close(), b.Close())
	}
	status, err := b.Status(ctx)
	if err != nil {
		return errors.Join(err, narrow.Close(), host.Close(), b.Close())
	}
	c.tell(map[string]any{"api": host.Endpoint().API, "http": status.API, "token": host.Endpoint().Token})
	io.Copy(io.Discard, os.Stdin) // until the test lets go
	return errors.Join(narrow.Close(), host.Close(), b.Close())
}

// openHost opens a backend with its folders in dir.
func openHost(dir string, ports ports) (*backend.Backend, error) {
	return backend.Open(backend.Options{
		Daemon: true, APIPort: ports.api, MQTTPort: ports.mqtt, StrictPorts: true,
		Folders: folders.Folders{Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")},
	})
}

// ports are those of a backend: none of those that are asked for by default, which other tests may be about to take.
type ports struct{ api, mqtt int }

func freePorts() (ports, error) {
	var p ports
	for _, port := range []*int{&p.api, &p.mqtt} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports{}, err
		}
		defer l.Close() // only now, so that the second is another; nobody has connected
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

// console tells what modules say. It answers each question but "silence", which it leaves unanswered, and "nobody".
type console struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (c *console) tell(what any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Encode(what) // the test waits in vain for what it has not been told, and says so
}

func (c *console) Log(module string, entry api.LogEntry) {
	c.tell(map[string]any{"module": module, "log": entry})
}

func (c *console) Print(module, text string) {
	c.tell(map[string]any{"module": module, "print": text})
}

func (c *console) Input(ctx context.Context, _, prompt string) (string, error) {
	switch prompt {
	case "nobody":
		return "", api.ErrNoInput
	case "silence":
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "answer to " + prompt, nil
}
