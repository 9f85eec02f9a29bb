package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

func TestSocketIsTheUsersAlone(t *testing.T) {
	b := open(t)
	path := strings.TrimPrefix(socket(t, b), "unix://")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("the socket is %v", info.Mode())
	}
	if info, err = os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder is %v, %v", info.Mode(), err)
	}
}

func TestTheTCPPortIsGuarded(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	b := open(t, func(o *backend.Options) { o.Token = token })
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	upgrade := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	}
	tests := []struct {
		name, path, host, token, origin string
		want                            int
	}{
		{"health", "/health", "", "", "", http.StatusOK},
		{"no token", "/rpc", "", "", "", http.StatusUnauthorized},
		{"wrong token", "/rpc", "", "Bearer " + token[1:] + "0", "", http.StatusUnauthorized},
		{"token without its scheme", "/rpc", "", token, "", http.StatusUnauthorized},
		{"right", "/rpc", "", "Bearer " + token, "", http.StatusSwitchingProtocols},
		{"localhost", "/rpc", "localhost:8000", "Bearer " + token, "", http.StatusSwitchingProtocols},
		{"IPv6", "/rpc", "[::1]:8000", "Bearer " + token, "", http.StatusSwitchingProtocols},
		{"rebound name", "/rpc", "evil.example", "Bearer " + token, "", http.StatusForbidden},
		{"rebound name, health", "/health", "localhost.evil.example:8000", "", "", http.StatusForbidden},
		{"a web page's", "/rpc", "", "Bearer " + token, "http://evil.example", http.StatusForbidden},
		{"nothing there", "/", "", "Bearer " + token, "", http.StatusNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(within(t), "GET", status.API+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.path == "/rpc" {
				for key, value := range upgrade {
					r.Header.Set(key, value)
				}
			}
			if test.host != "" {
				r.Host = test.host
			}
			if test.token != "" {
				r.Header.Set("Authorization", test.token)
			}
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			answered(t, r, test.want)
		})
	}
	if _, err := link.Dial(within(t), status.API, "wrong"); !errors.Is(err, api.ErrUnauthorized) {
		t.Errorf("dial with a wrong token: %v", err)
	}
	c, err := link.Dial(within(t), status.API, token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(within(t)); err != nil {
		t.Error(err)
	}
	c.Close()
}

func TestPorts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	tests := []struct {
		name   string
		change func(*backend.Options)
		want   string // in the error; "": none
	}{
		{"another is chosen", func(*backend.Options) {}, ""},
		{"MQTT port taken", func(o *backend.Options) { o.MQTTPort = port }, "MQTT port"},
		{"API port taken", func(o *backend.Options) { o.APIPort = port }, "API port"},
		{"to the network without secrets", func(o *backend.Options) { o.Host = "0.0.0.0" }, "COMA_PASSWORD"},
		{"to the network without a password", func(o *backend.Options) { o.Host, o.Token = "0.0.0.0", "t" }, "COMA_PASSWORD"},
	}
	open(t) // has the usual ports, if nobody else has
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opt := backend.Options{Folders: in(t.TempDir())}
			test.change(&opt)
			b, err := backend.Open(opt)
			if err == nil {
				defer b.Close()
			}
			if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("open: %v, want %q", err, test.want)
			}
			if left, err := filepath.Glob(filepath.Join(opt.Folders.Runtime, "*.sock")); test.want != "" && (err != nil || len(left) > 0) {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	strict := backend.Options{Folders: in(t.TempDir()), StrictPorts: true}
	if b, err := backend.Open(strict); err == nil {
		b.Close()
		t.Error("strict ports: the usual ones are taken, and others were chosen")
	}
}

func in(dir string) folders.Folders {
	return folders.Folders{Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")}
}

func TestBackendsAreFound(t *testing.T) {
	dirs := in(t.TempDir())
	with := func(daemon bool) func(*backend.Options) {
		return func(o *backend.Options) { o.Folders, o.Daemon = dirs, daemon }
	}
	first, second, daemon := open(t, with(false)), open(t, with(false)), open(t, with(true))
	if _, err := backend.Open(backend.Options{Folders: dirs, Daemon: true}); !errors.Is(err, api.ErrInUse) {
		t.Fatalf("second daemon: %v", err)
	}
	// Two leftovers of processes that were killed.
	for _, name := range []string{"999999999-dead", "999999998-dead"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dirs.Runtime, name+".sock"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		if err := os.WriteFile(filepath.Join(dirs.Runtime, name+".json"), fmt.Appendf(nil, `{"pid":%s}`, name[:9]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := backend.Running(within(t), dirs)
	if err != nil || len(found) != 3 {
		t.Fatalf("found %d, %v", len(found), err)
	}
	want := []string{socket(t, daemon), socket(t, second), socket(t, first)}
	for i, f := range found {
		if "unix://"+f.Status.Socket != want[i] {
			t.Errorf("backend %d is at %s, want %s", i, f.Status.Socket, want[i])
		}
		f.Close()
	}
	if left, err := filepath.Glob(filepath.Join(dirs.Runtime, "*dead*")); err != nil || len(left) > 0 {
		t.Errorf("leftovers: %v, %v", left, err)
	}
	if err := daemon.Close(); err != nil {
		t.Fatal(err)
	}
	if f, ok := backend.Daemon(within(t), dirs); ok {
		f.Close()
		t.Error("the daemon is found after its end")
	}
	again := open(t, with(true))
	f, ok := backend.Daemon(within(t), dirs)
	if !ok {
		t.Fatal("the new daemon is not found")
	}
	f.Close()
	if err := again.Shutdown(context.Background()); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("shutdown without a way to: %v", err)
	}
}

// answered makes a request, as a connection of its own, whose answer is to have that status.
func answered(t *testing.T, r *http.Request, want int) *http.Response {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != want {
		t.Errorf("answer is %s, want %d", answer.Status, want)
	}
	return answer
}
