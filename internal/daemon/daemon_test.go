package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func TestConfigCheck(t *testing.T) {
	both := Secrets{Password: "p", Token: "t"}
	for _, test := range []struct {
		config  Config
		secrets Secrets
		users   int
		ok      bool
	}{
		{Config{}, Secrets{}, 0, true},
		{Config{Host: "localhost"}, Secrets{}, 0, true},
		{Config{Host: "::1", MQTTPort: 65535}, Secrets{}, 0, true},
		{Config{Host: "0.0.0.0"}, Secrets{}, 0, false},
		{Config{Host: "::"}, Secrets{Token: "t"}, 0, false},
		{Config{Host: "example.org"}, Secrets{Password: "p"}, 0, false},
		{Config{Host: "0.0.0.0"}, both, 0, true},
		{Config{MQTTPort: -1}, Secrets{}, 0, false},
		{Config{APIPort: 65536}, Secrets{}, 0, false},
		{Config{Guarded: true}, Secrets{}, 0, false},
		{Config{Guarded: true}, both, 0, true},
		{Config{Host: "0.0.0.0"}, Secrets{}, 1, true},
		{Config{TLSCert: "a"}, Secrets{}, 0, false},
		{Config{TLSCert: "a", TLSKey: "b"}, Secrets{}, 0, true},
	} {
		err := test.config.Check(test.secrets, test.users)
		if (err == nil) != test.ok || err != nil && !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%+v with %+v: %v", test.config, test.secrets, err)
		}
	}
}

func TestConfigIsKept(t *testing.T) {
	f := folders.Folders{State: t.TempDir()}
	if c, err := LoadConfig(f); err != nil || !reflect.DeepEqual(c, Config{}) {
		t.Errorf("before the first start: %+v, %v", c, err)
	}
	want := Config{Host: "127.0.0.2", MQTTPort: 1884, APIPort: 8001, Guarded: true,
		TLSCert: "/cert", TLSKey: "/key", AllowHosts: []string{"coma.example"}, Limits: access.Limits{Rate: 7}}
	if err := want.save(f); err != nil {
		t.Fatal(err)
	}
	if c, err := LoadConfig(f); err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, %v", c, err)
	}
	if err := os.WriteFile(configPath(f), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(f); err == nil || !strings.Contains(err.Error(), configPath(f)) {
		t.Errorf("damaged: %v", err)
	}
}

func TestOneHoldsTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if pid := holder(path); pid != 0 {
		t.Errorf("nobody's lock is held by %d", pid)
	}
	unlock, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if pid := holder(path); pid != os.Getpid() {
		t.Errorf("held by %d", pid)
	}
	if _, err := lock(path); !errors.Is(err, api.ErrInUse) {
		t.Errorf("second lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if pid := holder(path); pid != 0 {
		t.Errorf("held by %d after its end", pid)
	}
}

func TestStartTellsWhatHappened(t *testing.T) {
	f := folders.Folders{Data: t.TempDir(), State: t.TempDir(), Runtime: filepath.Join(t.TempDir(), "run")}
	for script, want := range map[string]string{
		`echo '{"error":"no luck"}'`:                 "no luck",
		`echo '{"error":"bad flag","invalid":true}'`: "bad flag",
		`exit 3`:                 "exit status 3",
		`echo nonsense; exit 0`:  "nonsense",
		`exec >&-; exec sleep 0`: "ended at once",
	} {
		_, err := Start(t.Context(), f, []string{"/bin/sh", "-c", script})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
		if errors.Is(err, api.ErrInvalid) != strings.Contains(script, "invalid") {
			t.Errorf("%s: %v", script, err)
		}
	}
	status, err := Start(t.Context(), f, []string{"/bin/sh", "-c", `echo '{"status":{"pid":7}}'`})
	if err != nil || status.PID != 7 {
		t.Errorf("%+v, %v", status, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, f, []string{"/bin/sh", "-c", "exec sleep 1000"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that never answers: %v", err)
	}
}

func TestLogBeginsANewFileWhenItIsFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backend.log")
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.limit = 100
	for i := range 30 {
		if _, err := fmt.Fprintf(l, "line %02d\n", i); err != nil { // 8 bytes: 12 of them fit
			t.Fatal(err)
		}
	}
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	if string(now) != "line 24\nline 25\nline 26\nline 27\nline 28\nline 29\n" || !strings.HasPrefix(string(old), "line 12\n") {
		t.Errorf("now %q, before %q", now, old)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestLastLines(t *testing.T) {
	for _, test := range []struct {
		data string
		n    int
		want string
	}{
		{"a\nb\nc\n", 2, "b\nc\n"},
		{"a\nb\nc", 2, "b\nc"},
		{"a\nb\n", 2, "a\nb\n"},
		{"a\nb\n", 9, "a\nb\n"},
		{"a\nb\n", 0, ""},
		{"a\nb\n", -1, "a\nb\n"},
		{"\n\n", 1, "\n"},
		{"", 3, ""},
	} {
		if got := string(lastLines([]byte(test.data), test.n)); got != test.want {
			t.Errorf("last %d of %q: %q, want %q", test.n, test.data, got, test.want)
		}
	}
}

// until is a writer that calls done when text has been written to it.
type until struct {
	text string
	done func()

	mu  sync.Mutex
	got bytes.Buffer
}

func (u *until) Write(data []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.got.Write(data)
	if strings.Contains(u.got.String(), u.text) {
		u.done()
	}
	return len(data), nil
}

func TestTailFollowsIntoTheNextFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backend.log")
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Fprintln(l, "zero")
	fmt.Fprintln(l, "one")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	begun := make(chan struct{})
	out := &until{text: "three\n", done: cancel}
	first := &firstWrite{until: out, begun: begun}
	ended := make(chan error, 1)
	go func() { ended <- Tail(ctx, first, path, 1, true) }()
	<-begun
	fmt.Fprintln(l, "two")
	l.limit = 1
	fmt.Fprintln(l, "three") // into a new file
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := out.got.String(); got != "one\ntwo\nthree\n" {
		t.Errorf("%q", got)
	}
}

// firstWrite closes begun at the first write.
type firstWrite struct {
	*until
	begun chan struct{}
	once  sync.Once
}

func (f *firstWrite) Write(data []byte) (int, error) {
	defer f.once.Do(func() { close(f.begun) })
	return f.until.Write(data)
}
