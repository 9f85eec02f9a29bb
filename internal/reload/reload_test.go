package reload

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// garden is a project under watch.
type garden struct {
	*testing.T
	dir     string
	changes chan Change
	stop    func() // ends Watch and waits for it
	marks   int
	log     bytes.Buffer // to be read after stop
}

// watch starts watching a project with the modules chat and soil, which share words; list, a data folder; and mark, whose edits are the
// tests' clock: a change to it that arrives alone proves that nothing else was told. It returns with all watches in place.
func watch(t *testing.T, opt Options) *garden {
	t.Parallel()
	g := &garden{T: t, dir: filepath.Join(t.TempDir(), "garden"), changes: make(chan Change)}
	g.write("go.mod", "module garden\n")
	for _, name := range []string{"chat", "soil"} {
		g.write(name+"/"+name+".go", "package "+name+"\n\nimport _ \"garden/words\"\n\nfunc Run() {}\n")
	}
	g.write("leaf.go", "package leaf\n\nfunc Run() {}\n")
	g.write("mark/mark.go", "package mark\n\nfunc Run() {}\n")
	g.write("words/words.go", "package words\n")
	g.write("chat/prompt.txt", "hello\n")
	g.write("list/list.csv", "1\n")

	initial, err := project.Load(g.dir)
	g.must(err)
	if opt.Debounce == 0 {
		// Longer than the default: a machine under load must not tear a burst in two.
		opt.Debounce = 150 * time.Millisecond
	}
	opt.Log = slog.New(slog.NewTextHandler(&g.log, nil))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, initial, opt, func(c Change) {
			select {
			case g.changes <- c:
			case <-ctx.Done():
			}
		})
	}()
	g.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
		ended <- nil
	}
	t.Cleanup(g.stop)
	g.nothing()
	return g
}

func (g *garden) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *garden) path(name string) string { return filepath.Join(g.dir, name) }

// write writes in place, as most editors do, with the folders that it takes.
func (g *garden) write(name, text string) {
	g.Helper()
	g.must(os.MkdirAll(filepath.Dir(g.path(name)), 0o755))
	g.must(os.WriteFile(g.path(name), []byte(text), 0o644))
}

func (g *garden) rename(from, to string) { g.Helper(); g.must(os.Rename(g.path(from), g.path(to))) }
func (g *garden) remove(name string)     { g.Helper(); g.must(os.RemoveAll(g.path(name))) }

// next returns the next change.
func (g *garden) next() Change {
	g.Helper()
	select {
	case c := <-g.changes:
		if c.At.IsZero() {
			g.Error("a change without its time")
		}
		return c
	case <-time.After(30 * time.Second):
		g.Fatal("no change was told within 30 s")
		return Change{}
	}
}

// told wants the next change to be: +added ~changed -removed, in this order, or "error: …".
func (g *garden) told(want string) Change {
	g.Helper()
	c := g.next()
	if got := show(c); got != want {
		g.Fatalf("told %q, want %q", got, want)
	}
	return c
}

func show(c Change) string {
	if c.Err != nil {
		return "error: " + c.Err.Error()
	}
	var words []string
	for _, m := range c.Added {
		words = append(words, "+"+m.Name)
	}
	for _, m := range c.Changed {
		words = append(words, "~"+m.Name)
	}
	for _, name := range c.Removed {
		words = append(words, "-"+name)
	}
	return strings.Join(words, " ")
}

// nothing wants that no change is told for what was done before.
func (g *garden) nothing() {
	g.Helper()
	g.marks++
	// By rename, so that no look sees it half written and tells it twice.
	g.write("mark/mark.tmp", fmt.Sprint(g.marks))
	g.rename("mark/mark.tmp", "mark/mark.txt")
	g.told("~mark")
}

const edited = "package chat\n\nfunc Run() { println(\"edited\") }\n"

func TestEditsAsEditorsMakeThem(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(g *garden)
		want string
	}{
		{"write in place", func(g *garden) { g.write("chat/chat.go", edited) }, "~chat"},
		{"truncate, then write", func(g *garden) {
			g.must(os.Truncate(g.path("chat/chat.go"), 0))
			f, err := os.OpenFile(g.path("chat/chat.go"), os.O_WRONLY, 0)
			g.must(err)
			_, err = f.WriteString(edited)
			g.must(err)
			g.must(f.Close())
		}, "~chat"},
		{"write and rename", func(g *garden) {
			g.write("chat/.chat.go.123", edited)
			g.rename("chat/.chat.go.123", "chat/chat.go")
		}, "~chat"},
		{"vim: swap, probe, backup", func(g *garden) {
			g.write("chat/.chat.go.swp", "swap")
			g.write("chat/4913", "")
			g.remove("chat/4913")
			g.rename("chat/chat.go", "chat/chat.go~")
			g.write("chat/chat.go", edited)
			g.remove("chat/chat.go~")
			g.remove("chat/.chat.go.swp")
		}, "~chat"},
		{"emacs: lock, autosave", func(g *garden) {
			g.must(os.Symlink("me@here.1:2", g.path("chat/.#chat.go")))
			g.write("chat/#chat.go#", "half")
			g.write("chat/chat.go", edited)
			g.remove("chat/#chat.go#")
			g.remove("chat/.#chat.go")
		}, "~chat"},
		{"single file", func(g *garden) { g.write("leaf.go", "package leaf\n\nfunc Run() { println() }\n") }, "~leaf"},
		{"data file", func(g *garden) { g.write("chat/prompt.txt", "hullo\n") }, "~chat"},
		{"file added", func(g *garden) { g.write("soil/more.go", "package soil\n") }, "~soil"},
		{"file removed", func(g *garden) { g.remove("chat/prompt.txt") }, "~chat"},
		{"shared package", func(g *garden) { g.write("words/words.go", "package words\n\nvar X int\n") }, "~chat ~soil"},
		{"module copied in", func(g *garden) { g.write("new/new.go", "package new\n\nfunc Run() {}\n") }, "+new"},
		{"single file added", func(g *garden) { g.write("new.go", "package new\n\nfunc Run() {}\n") }, "+new"},
		{"module removed", func(g *garden) { g.remove("soil") }, "-soil"},
		{"single file removed", func(g *garden) { g.remove("leaf.go") }, "-leaf"},
		{"module renamed", func(g *garden) { g.rename("soil", "earth") }, "+earth -soil"},
		{"file becomes folder", func(g *garden) {
			g.must(os.Mkdir(g.path("leaf"), 0o755))
			g.rename("leaf.go", "leaf/leaf.go")
		}, "~leaf"},
		{"configuration of one", func(g *garden) { g.write("coma.yaml", "modules: {soil: {grace: 6s}}\n") }, "~soil"},
		{"disabled", func(g *garden) { g.write("coma.yaml", "modules: {soil: {disabled: true}}\n") }, "-soil"},
		{"configuration of the agent", func(g *garden) { g.write("coma.yaml", "mailbox: {limit: 5}\n") }, ""},
		{"several modules", func(g *garden) {
			g.write("chat/chat.go", edited)
			g.remove("soil")
			g.write("new/new.go", "package new\n\nfunc Run() {}\n")
		}, "+new ~chat -soil"},
		{"deep tree made fast", func(g *garden) { g.write("chat/a/b/c/d/e/f.txt", "x") }, "~chat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := watch(t, Options{})
			c.edit(g)
			change := g.told(c.want)
			if change.Project == nil || change.Project.Dir != g.dir {
				t.Errorf("told with project %v", change.Project)
			}
			g.nothing() // one change told it all
		})
	}
}

func TestWhatChangesNothingIsNotTold(t *testing.T) {
	g := watch(t, Options{})
	now := time.Now()
	g.must(os.Chtimes(g.path("chat/chat.go"), now, now))
	g.nothing()
	g.write("chat/prompt.txt", "hello\n") // saved without an edit
	g.nothing()
	g.write("chat/chat_test.go", "package chat\n")
	g.write("chat/x.log", "x")
	g.write("chat/.git/x", "x")
	g.write(".git/index", "x")
	g.write("chat/node_modules/x/y.js", "x")
	g.nothing()
	g.write("README.md", "x")
	g.write("list/list.csv", "2\n")
	g.write("list/deep/list.csv", "2\n")
	g.nothing()
	g.rename("chat/chat.go", "chat/x")
	g.rename("chat/x", "chat/chat.go")
	g.nothing()
	g.rename("chat", "elsewhere")
	g.rename("elsewhere", "chat")
	g.nothing()
	g.write("chat/prompt.txt", "the watch survived it\n")
	g.told("~chat")
}

func TestIgnoredFoldersAreNotWatched(t *testing.T) {
	var ignored atomic.Int32
	g := watch(t, Options{add: func(w *fsnotify.Watcher, path string) error {
		for _, name := range []string{".git", "node_modules", "cache"} {
			if strings.Contains(path, name) {
				ignored.Add(1)
			}
		}
		return w.Add(path)
	}})
	g.write("coma.yaml", "watch: {ignore: [cache]}\n")
	g.write("chat/.git/objects/x", "x")
	g.write("node_modules/x/y", "x")
	g.nothing()
	g.write("chat/cache/x", "x")
	g.nothing()
	if n := ignored.Load(); n != 0 {
		t.Errorf("%d ignored folders are watched", n)
	}
	g.write("coma.yaml", "")
	g.told("~chat") // what was ignored counts now,
	g.write("chat/cache/x", "y")
	g.told("~chat") // and is watched
}

func TestProgramsChangeWithWhatTheyImport(t *testing.T) {
	g := watch(t, Options{})
	g.write("eye.py", "import looks\n")
	g.write("ear/main.sh", "echo on\n")
	g.told("+ear +eye")
	g.write("looks.py", "X = 1\n")
	g.told("~eye")
	g.write("ear/words.txt", "hello\n")
	g.told("~ear")
	// What interpreters and package managers write is no edit.
	g.write("ear/env/pyvenv.cfg", "")
	g.nothing()
	for _, name := range []string{"ear/env/lib/x.py", "ear/.venv/x.py", "ear/__pycache__/x.pyc", "ear/x.pyc", "ear/node_modules/x.js", "venv/lib/x.py"} {
		g.write(name, "x")
	}
	g.nothing()
	g.must(os.Chmod(g.path("ear/words.txt"), 0o755))
	g.told("~ear")
	g.remove("eye.py")
	g.told("+looks -eye") // which nothing imports any more
}

func TestHalfWrittenFileIsToldAgainWhenItIsWhole(t *testing.T) {
	g := watch(t, Options{})
	g.write("chat/chat.go", edited[:len(edited)/2])
	g.told("~chat")
	g.write("chat/chat.go", edited)
	g.told("~chat")
	g.write("leaf.go", "")
	g.told("~leaf")
	g.write("leaf.go", "package leaf\n\nfunc Run() {}\n// whole\n")
	g.told("~leaf")
}

func TestCheckoutOfTenFilesIsOneChange(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git here")
	}
	g := watch(t, Options{Debounce: 300 * time.Millisecond})
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-c", "user.name=me", "-c", "user.email=me@here", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Dir = g.dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("init", "-q")
	run("add", ".")
	run("commit", "-qm", "one")
	run("branch", "one")
	for i := range 10 {
		g.write(fmt.Sprintf("soil/f%d.go", i), fmt.Sprintf("package soil\n\nvar v%d int\n", i))
	}
	g.write("chat/chat.go", edited)
	g.write("new/new.go", "package new\n\nfunc Run() {}\n")
	run("add", ".")
	run("commit", "-qm", "two")
	g.told("+new ~chat ~soil")
	run("checkout", "-q", "one")
	g.told("~chat ~soil -new")
	run("checkout", "-q", "-")
	g.told("+new ~chat ~soil")
	g.nothing()
}

func TestFoldersThatMove(t *testing.T) {
	g := watch(t, Options{})
	outside := filepath.Join(filepath.Dir(g.dir), "outside")
	g.must(os.Rename(g.path("soil"), outside))
	g.told("-soil")
	g.must(os.WriteFile(filepath.Join(outside, "soil.go"), []byte("package soil\n\nfunc Run() { println() }\n"), 0o644))
	g.must(os.MkdirAll(filepath.Join(outside, "deep", "data"), 0o755))
	g.nothing()
	g.must(os.Rename(outside, g.path("soil")))
	g.told("+soil")
	g.write("soil/deep/data/x", "x") // watched, down to the last folder
	g.told("~soil")
	g.rename("soil", "earth")
	g.told("+earth -soil")
	g.write("earth/deep/data/x", "y") // under its new name too
	g.told("~earth")
	g.rename("earth/deep", "earth/deeper")
	g.told("~earth")
	g.write("earth/deep/data/x", "z") // another folder of the old name
	g.told("~earth")
	g.write("earth/deeper/data/x", "z")
	g.told("~earth")
	g.remove("earth/deeper")
	g.told("~earth")
	g.write("earth/deeper/data/x", "again")
	g.told("~earth")
	g.write("earth/deeper/data/x", "and again")
	g.told("~earth")
}

func TestLinksToFoldersAreWatched(t *testing.T) {
	g := watch(t, Options{})
	outside := filepath.Join(filepath.Dir(g.dir), "outside")
	for _, version := range []string{"v1", "v2"} {
		g.must(os.MkdirAll(filepath.Join(outside, version), 0o755))
		g.must(os.WriteFile(filepath.Join(outside, version, "version"), []byte(version), 0o644))
	}
	g.must(os.Symlink(filepath.Join(outside, "v1"), g.path("chat/data")))
	g.told("~chat")
	g.must(os.WriteFile(filepath.Join(outside, "v1", "x"), []byte("x"), 0o644))
	g.told("~chat")
	g.must(os.Symlink(filepath.Join(outside, "v2"), g.path("chat/.data")))
	g.rename("chat/.data", "chat/data") // how deployments switch versions
	g.told("~chat")
	g.must(os.WriteFile(filepath.Join(outside, "v2", "x"), []byte("y"), 0o644))
	g.told("~chat")
}

func TestErrorsAreToldOnceAndSoIsTheCure(t *testing.T) {
	g := watch(t, Options{})
	g.write("coma.yaml", "agnt: x\n")
	g.told(`error: coma.yaml:1:1: unknown key "agnt"; did you mean "agent"?`)
	g.write("coma.yaml", "agnt: y\n") // the same error
	g.write("chat/prompt.txt", "waits until the project can be read\n")
	g.write("coma.yaml", "agent: [\n")
	if c := g.next(); c.Err == nil || c.Project != nil || !strings.HasPrefix(c.Err.Error(), "coma.yaml:") {
		t.Fatalf("told %q", show(c))
	}
	g.remove("coma.yaml")
	g.told("~chat")
	g.write("coma.yaml", "agnt: x\n")
	g.told(`error: coma.yaml:1:1: unknown key "agnt"; did you mean "agent"?`)
	g.write("coma.yaml", "")
	if c := g.told(""); c.Project == nil {
		t.Error("the cure was told without the project")
	}
	g.nothing()
}

func TestProblemsAreTold(t *testing.T) {
	g := watch(t, Options{})
	g.write("help/help.go", "package help\n")
	if c := g.told(""); len(c.Project.Problems) != 1 {
		t.Errorf("problems %v", c.Project.Problems)
	}
}

func TestProjectThatIsGoneAndComesBack(t *testing.T) {
	g := watch(t, Options{})
	away := filepath.Join(filepath.Dir(g.dir), "away")
	g.must(os.Rename(g.dir, away))
	if c := g.next(); c.Err == nil || !strings.Contains(c.Err.Error(), "no such folder") {
		t.Fatalf("told %q", show(c))
	}
	g.must(os.Rename(away, g.dir))
	g.told("")
	g.nothing()

	g.must(os.RemoveAll(g.dir))
	for c := g.next(); c.Err == nil || !strings.Contains(c.Err.Error(), "no such folder"); c = g.next() {
		// A slow removal may be seen half done.
		if c.Err == nil && len(c.Added)+len(c.Changed)+len(c.Removed) == 0 {
			t.Fatalf("told %q", show(c))
		}
	}
	// Made elsewhere and moved here, so that it is there as a whole.
	next := &garden{T: t, dir: away}
	next.write("new/new.go", "package new\n\nfunc Run() {}\n")
	next.write("mark/mark.go", "package mark\n\nfunc Run() {}\n")
	g.must(os.Rename(away, g.dir))
	if c := g.next(); c.Err != nil || c.Project.Module("new") == nil {
		t.Fatalf("told %q", show(c))
	}
	g.nothing()
}

func TestLostEventsAreMadeUpFor(t *testing.T) {
	var system *fsnotify.Watcher
	g := watch(t, Options{
		open: func() (*fsnotify.Watcher, error) {
			var err error
			system, err = fsnotify.NewWatcher()
			return system, err
		},
		add: func(w *fsnotify.Watcher, path string) error {
			if strings.HasSuffix(path, "chat") {
				return nil // deaf there
			}
			return w.Add(path)
		},
	})
	g.write("chat/prompt.txt", "unheard\n")
	system.Errors <- fsnotify.ErrEventOverflow
	g.told("~chat")
}

func TestEventsWithoutEndDoNotHideAnEdit(t *testing.T) {
	g := watch(t, Options{})
	noise := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-noise:
				tick.Stop()
				return
			case <-tick.C:
				// In the data folder, where nothing counts.
				if err := os.WriteFile(g.path("list/list.csv"), []byte(time.Now().String()), 0o644); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	g.write("chat/prompt.txt", "seen all the same\n")
	g.told("~chat")
	close(noise)
	<-done
}

func TestWithoutWatchesTheProjectIsPolled(t *testing.T) {
	var added atomic.Int32
	for name, opt := range map[string]Options{
		"fs.inotify.max_user_instances": {open: func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }},
		"fs.inotify.max_user_watches": {add: func(w *fsnotify.Watcher, path string) error {
			if added.Add(1) > 3 {
				return syscall.ENOSPC
			}
			return w.Add(path)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := watch(t, opt)
			g.write("chat/chat.go", edited)
			g.told("~chat")
			g.stop()
			if log := g.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, name) {
				t.Errorf("log\n%s", log)
			}
		})
	}
}

func TestWatchFailsWhereTheSystemCannotWatch(t *testing.T) {
	err := Watch(context.Background(), &project.Project{Dir: "/p"}, Options{
		open: func() (*fsnotify.Watcher, error) { return nil, syscall.ENOSYS },
	}, func(Change) {})
	if err == nil || !strings.Contains(err.Error(), "watch project /p") {
		t.Errorf("error %v", err)
	}
}
