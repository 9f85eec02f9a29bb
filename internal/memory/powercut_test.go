//go:build linux

package memory

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// TestPowerCut records what a process that adds, deletes and compacts writes, in order, with strace. It then cuts the power
// after each of these calls: what was synced is on disk, of what was not a part chosen by chance is, down to single sectors,
// and of names that were not synced the first few. Whatever is left must open and hold what was acknowledged before.
func TestPowerCut(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it records the writes")
	}
	dir := t.TempDir()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-e", "signal=none", "-xx", "-s", "100000000", "-o", trace,
		"-e", "trace=openat,close,write,pwrite64,ftruncate,fsync,fdatasync,renameat,renameat2,linkat,unlinkat", os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"=paced", crashPathEnv+"="+filepath.Join(dir, "plant.db"))
	if out, err := cmd.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("ptrace")) {
			t.Skipf("strace may not trace here: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	calls := tracedCalls(t, trace)
	random := rand.New(rand.NewPCG(11, 12))
	world := newPowered(dir)
	cuts, lost := 0, 0
	for i, call := range calls {
		if !world.do(t, call) {
			continue
		}
		for range 2 {
			cuts++
			after := t.TempDir()
			if !world.cut(t, random, after) {
				lost++
			}
			world.check(t, fmt.Sprintf("cut %d, after call %d (%s)", cuts, i, call.name), after)
			if t.Failed() {
				return
			}
			if err := os.RemoveAll(after); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d calls, %d cuts, %d of them lost something that was not synced, %d acknowledged at the end", len(calls), cuts, lost, len(world.acknowledged))
	if len(world.acknowledged) < 50 || lost < cuts/10 {
		t.Error("the run was not varied enough to mean something")
	}
}

// call is one system call of the trace.
type call struct {
	name    string
	numbers []int64  // its arguments that are numbers
	strings [][]byte // its arguments that are strings
	result  int64
}

var (
	callLine   = regexp.MustCompile(`^\d+ +(\w+)\((.*)\) += (-?\d+)`)
	callString = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	callNumber = regexp.MustCompile(`-?\b\d+\b`)
)

func tracedCalls(t *testing.T, path string) []call {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() // read only
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	started := map[string]string{} // calls that another thread's came between, by thread
	var calls []call
	for lines.Scan() {
		line := lines.Text()
		thread, _, _ := strings.Cut(line, " ")
		if begin, ok := strings.CutSuffix(line, " <unfinished ...>"); ok {
			started[thread] = begin
			continue
		}
		if _, rest, ok := strings.Cut(line, " resumed>"); ok {
			line = started[thread] + rest
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue // an exit
		}
		c := call{name: m[1]}
		for _, s := range callString.FindAllStringSubmatch(m[2], -1) {
			b, err := hex.DecodeString(strings.ReplaceAll(s[1], `\x`, ""))
			if err != nil {
				t.Fatal(err)
			}
			c.strings = append(c.strings, b)
		}
		for _, s := range callNumber.FindAllString(callString.ReplaceAllString(m[2], ""), -1) {
			n, err := strconv.ParseInt(s, 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			c.numbers = append(c.numbers, n)
		}
		if c.result, err = strconv.ParseInt(m[3], 10, 64); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return calls
}

// powered is the disk of a machine whose power may be cut.
type powered struct {
	dir          string
	names        map[string]*inode // as the process sees them, in dir
	synced       map[string]*inode // as they are on disk for certain
	pending      []naming          // what became of names since then
	open         map[int64]*inode
	folders      map[int64]bool  // open handles of dir
	acknowledged map[string]bool // false: deleted
}

// inode is a file: its bytes on disk, and what may or may not be on disk yet.
type inode struct {
	synced  []byte
	pending []pendingWrite
}

type pendingWrite struct {
	at       int64
	data     []byte
	truncate bool // to at
}

type naming struct {
	name string
	file *inode // nil: removed
}

func newPowered(dir string) *powered {
	return &powered{dir: dir, names: map[string]*inode{}, synced: map[string]*inode{}, open: map[int64]*inode{},
		folders: map[int64]bool{}, acknowledged: map[string]bool{}}
}

// name is the name in dir of a path; ok is false for one elsewhere.
func (p *powered) name(path []byte) (name string, ok bool) {
	return strings.CutPrefix(string(path), p.dir+"/")
}

func (p *powered) set(name string, file *inode) {
	p.pending = append(p.pending, naming{name, file})
	if p.names[name] = file; file == nil {
		delete(p.names, name)
	}
}

// do carries out a call. It reports whether that has to do with the disk or with what was acknowledged.
func (p *powered) do(t *testing.T, c call) bool {
	if c.result < 0 {
		return false
	}
	var file *inode
	if len(c.numbers) > 0 {
		file = p.open[c.numbers[0]]
	}
	switch c.name {
	case "openat":
		if string(c.strings[0]) == p.dir {
			p.folders[c.result] = true
			return false
		}
		name, ok := p.name(c.strings[0])
		if !ok {
			return false
		}
		if p.names[name] == nil {
			p.set(name, &inode{})
		}
		p.open[c.result] = p.names[name]
	case "close":
		delete(p.open, c.numbers[0])
		delete(p.folders, c.numbers[0])
		return false
	case "write":
		if c.numbers[0] != 1 {
			return false
		}
		verb, id, _ := strings.Cut(strings.TrimSpace(string(c.strings[0])), " ")
		if id != "" {
			p.acknowledged[id] = verb == "added"
		}
	case "pwrite64":
		file.pending = append(file.pending, pendingWrite{at: c.numbers[len(c.numbers)-1], data: c.strings[0]})
	case "ftruncate":
		file.pending = append(file.pending, pendingWrite{at: c.numbers[1], truncate: true})
	case "fsync", "fdatasync":
		if p.folders[c.numbers[0]] {
			for _, n := range p.pending {
				applyNaming(p.synced, n)
			}
			p.pending = nil
			return true
		}
		for _, w := range file.pending {
			file.synced = w.apply(file.synced)
		}
		file.pending = nil
	case "renameat", "renameat2", "linkat":
		from, ok := p.name(c.strings[0])
		to, ok2 := p.name(c.strings[1])
		if !ok || !ok2 {
			t.Fatalf("%s of %q to %q", c.name, c.strings[0], c.strings[1])
		}
		p.set(to, p.names[from])
		if c.name != "linkat" {
			p.set(from, nil)
		}
	case "unlinkat":
		name, ok := p.name(c.strings[0])
		if !ok {
			return false
		}
		p.set(name, nil)
	default:
		t.Fatalf("unexpected call %s", c.name)
	}
	return true
}

func applyNaming(names map[string]*inode, n naming) {
	if names[n.name] = n.file; n.file == nil {
		delete(names, n.name)
	}
}

func (w pendingWrite) apply(b []byte) []byte {
	end := w.at + int64(len(w.data))
	if w.truncate && int64(len(b)) > end {
		return b[:end:end]
	}
	if int64(len(b)) < end {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[w.at:], w.data)
	return b
}

// cut writes to folder what is on disk when the power is cut now. It reports whether all that was pending is there.
func (p *powered) cut(t *testing.T, random *rand.Rand, folder string) (all bool) {
	names := maps.Clone(p.synced)
	kept := random.IntN(len(p.pending) + 1) // a journal keeps the order of names
	all = kept == len(p.pending)
	for _, n := range p.pending[:kept] {
		applyNaming(names, n)
	}
	const sector = 512
	share := []float64{0, 0.3, 0.7, 1}[random.IntN(4)]
	for name, file := range names {
		content := bytes.Clone(file.synced)
		for _, w := range file.pending {
			if w.truncate {
				if random.Float64() < share {
					content = w.apply(content)
				} else {
					all = false
				}
				continue
			}
			for at := 0; at < len(w.data); at += sector {
				if random.Float64() < share {
					content = pendingWrite{at: w.at + int64(at), data: w.data[at:min(at+sector, len(w.data))]}.apply(content)
				} else {
					all = false
				}
			}
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// check opens what is left in folder.
func (p *powered) check(t *testing.T, what, folder string) {
	t.Helper()
	s, err := Open(filepath.Join(folder, "plant.db"), crashOptions)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	stored := map[string]string{}
	for _, r := range get(t, s, api.Selection{}) {
		stored[r.ID] = r.Text
	}
	for id, text := range stored {
		i, err := strconv.Atoi(id)
		if err != nil || text != strings.Repeat("text of "+id+" ", 20*(1+i%7)) {
			t.Errorf("%s: record %q is torn: %q, %v", what, id, text, err)
		}
	}
	for id, want := range p.acknowledged {
		_, has := stored[id]
		// addPaced deletes this one next: that may be done and not yet acknowledged.
		n, _ := strconv.Atoi(id)
		if want && n%9 == 4 && p.acknowledged[strconv.Itoa(n+4)] {
			continue
		}
		if has != want {
			t.Errorf("%s: record %s is there: %v, acknowledged: %v", what, id, has, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
