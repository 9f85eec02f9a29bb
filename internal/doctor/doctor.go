// Package doctor looks for what keeps coma from working on this machine, and says what to do about it. It changes nothing.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/daemon"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// Verdict is how well something is.
type Verdict string

// The verdicts.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // something is worse than it could be
	Fail Verdict = "fail" // something does not work
)

// Finding is one thing that was looked at.
type Finding struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"`
	Do      string  `json:"do,omitempty"` // what to do, unless it is ok
}

// Options say what is known already.
type Options struct {
	Version  string
	Terminal bool // standard output is one
	Colors   bool // and shows colours
}

// Look looks at everything.
func Look(ctx context.Context, opt Options) []Finding {
	findings := []Finding{{"version", OK, fmt.Sprintf("coma %s, %s %s/%s", opt.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH), ""}}
	dirs, err := folders.FromEnv()
	if err != nil {
		return append(findings, Finding{"folders", Fail, err.Error(), "set HOME"})
	}
	findings = append(findings, folder("data folder", dirs.Data), folder("state folder", dirs.State), runtimeFolder(dirs.Runtime))
	findings = append(findings, leftovers(ctx, dirs)) // before the backends: connecting to them clears leftovers away
	running, backends := runningBackends(ctx, dirs)
	findings = append(findings, backends)
	findings = append(findings, port(ctx, "MQTT port", 1883, running), port(ctx, "API port", 8000, running))
	findings = append(findings, toolchain(ctx), interpreters(ctx), embedder(ctx))
	findings = append(findings, watches()...)
	return append(findings, terminal(opt))
}

// lowSpace is when a folder's disk is nearly full, in bytes.
const lowSpace = 500 << 20

// folder looks at one that is coma's own. One that is not there yet is made when it is needed.
func folder(name, dir string) Finding {
	existing := dir
	for {
		info, err := os.Stat(existing)
		if err == nil && !info.IsDir() {
			return Finding{name, Fail, existing + " is not a folder", "remove it, or choose another by an XDG variable"}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) || existing == filepath.Dir(existing) {
			return Finding{name, Fail, err.Error(), "make it readable for this user"}
		}
		existing = filepath.Dir(existing)
	}
	probe, err := os.CreateTemp(existing, ".coma-doctor-*")
	if err != nil {
		return Finding{name, Fail, fmt.Sprintf("%s cannot be written to: %v", existing, err), "make it writable for this user"}
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return Finding{name, Fail, err.Error(), "remove it"}
	}
	text := dir
	if existing != dir {
		text += " (not there yet)"
	}
	usage, err := disk.Usage(existing)
	if err != nil {
		return Finding{name, Warn, fmt.Sprintf("%s: free space is not known: %v", text, err), ""}
	}
	text += fmt.Sprintf(", %d MiB free", usage.Free>>20)
	if usage.Free < lowSpace {
		return Finding{name, Warn, text, "make room: a full disk stops mailboxes and memory"}
	}
	return Finding{name, OK, text, ""}
}

// longestSocket is how long the path of a socket may be, in bytes, on every system.
const longestSocket = 103

func runtimeFolder(dir string) Finding {
	const name = "runtime folder"
	if length := len(filepath.Join(dir, "1234567.sock")); length > longestSocket {
		return Finding{name, Fail, fmt.Sprintf("%s: sockets' paths would have %d bytes, %d is the most", dir, length, longestSocket),
			"set XDG_RUNTIME_DIR to a folder with a shorter name"}
	}
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return folder(name, dir)
	}
	switch {
	case err != nil:
		return Finding{name, Fail, err.Error(), "make it readable for this user"}
	case !info.IsDir():
		return Finding{name, Fail, dir + " is not a folder", "remove it"}
	case !ownedByUser(info):
		return Finding{name, Fail, dir + " belongs to another user", "remove it, or set XDG_RUNTIME_DIR to a folder of your own"}
	case info.Mode().Perm()&0o077 != 0:
		return Finding{name, Warn, fmt.Sprintf("%s is open to others (%v)", dir, info.Mode().Perm()), "chmod 700 " + dir + " (a backend does it when it starts)"}
	}
	return folder(name, dir)
}

// leftovers looks for what a killed backend has left.
func leftovers(ctx context.Context, dirs folders.Folders) Finding {
	sockets, err := filepath.Glob(filepath.Join(dirs.Runtime, "*.sock"))
	if err != nil {
		return Finding{"leftovers", Fail, err.Error(), ""}
	}
	var stale []string
	for _, socket := range sockets {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket)
		if err != nil {
			stale = append(stale, filepath.Base(socket))
			continue
		}
		conn.Close()
	}
	if len(stale) > 0 {
		return Finding{"leftovers", Warn, "a backend was killed and left " + strings.Join(stale, ", "), "nothing: the next command clears it away"}
	}
	return Finding{"leftovers", OK, "none", ""}
}

func runningBackends(ctx context.Context, dirs folders.Folders) (addresses []string, f Finding) {
	const name = "backends"
	found, err := backend.Running(ctx, dirs)
	if err != nil {
		return nil, Finding{name, Fail, err.Error(), ""}
	}
	var texts, problems []string
	background := false
	for _, b := range found {
		kind := "part of a coma run"
		if b.Status.Daemon {
			kind, background = "in the background", true
		}
		texts = append(texts, fmt.Sprintf("pid %d %s (%s, %s)", b.Status.PID, kind, b.Status.Broker, b.Status.API))
		problems = append(problems, b.Status.Problems...)
		if b.Status.Away != "" {
			problems = append(problems, fmt.Sprintf("the broker %s is away %s", b.Status.Broker, b.Status.Away))
		}
		addresses = append(addresses, b.Status.Broker, b.Status.API)
		b.Close()
	}
	if !background {
		if _, ok, pid := daemon.Find(ctx, dirs); !ok && pid != 0 {
			return addresses, Finding{name, Fail, fmt.Sprintf("process %d is a backend and does not answer", pid),
				fmt.Sprintf("it may use another XDG_RUNTIME_DIR; kill %d ends it", pid)}
		}
	}
	switch {
	case len(problems) > 0:
		return addresses, Finding{name, Fail, strings.Join(problems, "; "), "see coma backend logs"}
	case len(texts) == 0:
		return nil, Finding{name, OK, "none runs (coma run brings its own)", ""}
	}
	return addresses, Finding{name, OK, strings.Join(texts, ", "), ""}
}

// port looks at one of the usual ports.
func port(ctx context.Context, name string, number int, running []string) Finding {
	address := fmt.Sprintf("127.0.0.1:%d", number)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err == nil {
		listener.Close()
		return Finding{name, OK, fmt.Sprintf("%d is free", number), ""}
	}
	if slices.ContainsFunc(running, func(a string) bool { return strings.HasSuffix(a, fmt.Sprintf(":%d", number)) }) {
		return Finding{name, OK, fmt.Sprintf("%d is a coma backend's", number), ""}
	}
	return Finding{name, Warn, fmt.Sprintf("%d is taken by another program%s", number, owner(ctx, number)),
		"coma run takes another port and says which; coma backend start needs --mqtt-port or --api-port"}
}

// toolchain looks for Go, which only the engine go and tests of modules need.
func toolchain(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	query := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	query.Env = append(os.Environ(), "GOTOOLCHAIN=local") // this one, not one that a go.mod nearby asks to be fetched
	version, err := query.Output()
	if err != nil {
		return Finding{"Go toolchain", OK, "none: modules are interpreted, nothing else is needed", ""}
	}
	return Finding{"Go toolchain", OK, strings.TrimSpace(string(version)), ""}
}

// interpreters looks for what starts modules that are not written in Go. A project that has none of them needs none.
func interpreters(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var there []string
	for _, i := range []struct{ name, command string }{{"Python", "python3"}, {"Node", "node"}} {
		version, err := exec.CommandContext(ctx, i.command, "--version").Output()
		if err != nil {
			there = append(there, "no "+i.command)
			continue
		}
		number := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(string(version)), i.name+" "), "v")
		there = append(there, i.name+" "+number)
	}
	return Finding{"interpreters", OK, strings.Join(there, ", ") + " (for modules that are not written in Go)", ""}
}

// embedder looks whether the one that COMA_EMBEDDER asks for can work. A project can ask for another.
func embedder(ctx context.Context) Finding {
	const name = "embedder"
	asked := os.Getenv(embed.Variable)
	spec, err := embed.Parse(asked)
	if err != nil {
		return Finding{name, Fail, err.Error(), "set " + embed.Variable + " to one of these, or not at all"}
	}
	text := spec.String()
	if asked == "" {
		text += " (" + embed.Variable + " is not set)"
	}
	if !spec.Remote() {
		return Finding{name, OK, text, ""}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	e, err := embed.NewLibrary(os.Getenv).Find(asked)
	if err == nil {
		err = embed.Ready(ctx, e)
	}
	if err != nil {
		return Finding{name, Warn, fmt.Sprintf("%s: %v", text, err), "make it work, or choose another by " + embed.Variable}
	}
	return Finding{name, OK, fmt.Sprintf("%s, %d dimensions", text, e.Dimension()), ""}
}

func terminal(opt Options) Finding {
	switch {
	case !opt.Terminal:
		return Finding{"terminal", OK, "standard output is none: no colours", ""}
	case !opt.Colors:
		return Finding{"terminal", OK, "without colours (NO_COLOR or TERM)", ""}
	}
	return Finding{"terminal", OK, "with colours", ""}
}
