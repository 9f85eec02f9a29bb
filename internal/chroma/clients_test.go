package chroma

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// TestPythonClient does the same generated operations with the real Chroma and with this package, through Chroma's own
// Python client, and compares all answers.
func TestPythonClient(t *testing.T) {
	real := startChroma(t)
	operations := 1500
	if testing.Short() {
		operations = 300
	}
	for seed := 1; seed <= 2; seed++ {
		run(t, python(t), "testdata/clients/differential.py", real, port(t, serve(t)), strconv.Itoa(seed), strconv.Itoa(operations))
		real = startChroma(t)
	}
}

// TestJavaScriptClient leads an ordinary life with Chroma's own JavaScript client.
func TestJavaScriptClient(t *testing.T) {
	dir, err := peers.Node()
	if err != nil {
		t.Skip(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node: install Node.js")
	}
	// Modules are looked for in the folders above the program.
	program := filepath.Join(t.TempDir(), "ordinary.mjs")
	source, err := os.ReadFile("testdata/clients/ordinary.mjs")
	if err == nil {
		err = errors.Join(os.WriteFile(program, source, 0o600), os.Symlink(filepath.Join(dir, "node_modules"), filepath.Join(filepath.Dir(program), "node_modules")))
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, node, program, port(t, serve(t)))
}

func python(t *testing.T) string {
	path, err := peers.Python()
	if err != nil {
		t.Skip(err)
	}
	return path
}

func port(t *testing.T, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// run runs a program to its end and shows what it says.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	output, err := command.CombinedOutput()
	t.Logf("%s", bytes.TrimSpace(output))
	if err != nil {
		t.Errorf("%s %v: %v", name, args, err)
	}
}

// startChroma starts a real Chroma with nothing in it and returns its port.
func startChroma(t *testing.T) string {
	path, err := peers.Chroma()
	if err != nil {
		t.Skip(err)
	}
	// The port is free now; that somebody else takes it in between would show as a server that does not answer.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, path, "run", "--path", t.TempDir(), "--port", port)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		resp, err := http.Get("http://127.0.0.1:" + port + "/api/v2/version")
		if err == nil {
			resp.Body.Close()
			return port
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the real Chroma has ended: %v\n%s", err, output.Bytes())
		case <-deadline:
			t.Fatalf("the real Chroma does not answer: %v", err)
		case <-tick.C:
		}
	}
}
