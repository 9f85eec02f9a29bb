//go:build unix

package compile_test

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/compile"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/runtest"
)

// load writes a project and reads it as coma does.
func load(t *testing.T, made files) *project.Project {
	t.Helper()
	dir := filepath.Join(t.TempDir(), agentName)
	for name, text := range made {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// build builds an agent and returns its program.
func build(t *testing.T, p *project.Project) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "agent")
	if err := compile.Agent(t.Context(), p, compile.AgentOptions{Output: program, Version: "v0.test"}); err != nil {
		t.Fatal(err)
	}
	return program
}

type event = runtest.Event

// start starts a program as a user with nothing but it.
func start(t *testing.T, program string, args ...string) *runtest.Run {
	t.Helper()
	home, err := os.MkdirTemp("", "coma-") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	cmd := exec.Command(program, append([]string{"--json", "--backend", "own"}, args...)...)
	cmd.Env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "TMPDIR=" + home, "PATH=", "COMA_TEST_GREETING=good day"}
	cmd.Dir = home
	return runtest.Start(t, cmd)
}

func TestAgentExamples(t *testing.T) {
	needToolchain(t)
	for _, test := range []struct{ name, module string }{{"echo", "receiver"}, {"plant", "mood"}} {
		t.Run(test.name, func(t *testing.T) {
			dir, err := filepath.Abs("../../examples/" + test.name)
			if err != nil {
				t.Fatal(err)
			}
			p, err := project.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			agent := start(t, build(t, p), "--restart-delay", "10ms")
			first, _ := agent.Await(0, "start of "+test.module, func(e event) bool { return e.Module == test.module && e.Event == "started" })
			if first.PID == 0 || first.PID == agent.PID() {
				t.Fatalf("%s runs in process %d, want one of its own", test.module, first.PID)
			}
			if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			agent.Await(0, "failure", func(e event) bool { return e.Module == test.module && e.Event == "failed" })
			again, _ := agent.Await(0, "restart", func(e event) bool { return e.Module == test.module && e.Event == "restarted" })
			if again.PID == first.PID {
				t.Errorf("it runs again in process %d, want a new one", again.PID)
			}
			agent.Stop()
		})
	}
}

// TestAgentIsWhole: prompts, configuration, single files, shared packages, names of any kind; and nothing of the source.
func TestAgentIsWhole(t *testing.T) {
	needToolchain(t)
	t.Setenv("COMA_TEST_GREETING", "of the machine that built it")
	program := build(t, load(t, files{
		"coma.yaml":             "agent: orchard\nmodules:\n  teller: {env: {GREETING: \"${COMA_TEST_GREETING}\"}}\n  off: {disabled: true}\n  light: {isolation: none}\n",
		"teller/t.go":           program("teller", `text, err := os.ReadFile(filepath.Join(agent.Dir, "prompt.txt")); if err != nil { return err }; fmt.Println(agent.Name, words.Hello, string(text), os.Getenv("GREETING")); return nil // a remark`, "fmt", "os", "path/filepath", agentName+"/words"),
		"teller/prompt.txt":     "be brief",
		"words/w.go":            "package words\n\nconst Hello = \"hello\"\n",
		"light.go":              program("light", `fmt.Println("pid of the host?", os.Getenv("COMA_INSTANCE") == "")`, "fmt", "os"),
		"zwei Wörter/module.go": program("w", `fmt.Printf("%T\n", state{})`, "fmt") + "\ntype state struct{}\n",
		"off/o.go":              program("off", "return nil"),
		"broken.go":             program("broken", `done := make(chan bool); go func() { var m map[string]int; m["x"] = 1 }(); <-done; return nil`),
	}))
	t.Run("with --once", func(t *testing.T) {
		agent := start(t, program, "--once")
		agent.Await(0, "words of teller", func(e event) bool { return e.Module == "teller" && e.Text == "orchard hello be brief good day" })
		agent.Await(0, "words of the other", func(e event) bool { return e.Module == "zwei Wörter" && e.Text == "w.state" })
		failed, _ := agent.Await(0, "failure", func(e event) bool { return e.Module == "broken" && e.Event == "failed" })
		if !strings.Contains(failed.Error, "assignment to entry in nil map") {
			t.Errorf("the failure is %q", failed.Error)
		}
		if code := agent.Wait(); code != 1 {
			t.Errorf("exit code %d with a failed module, want 1", code)
		}
	})
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "a remark") {
		t.Error("the program holds its modules' source")
	}
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v0.test") {
		t.Errorf("--version: %s, %v", out, err)
	}
	var exit *exec.ExitError
	if err := exec.Command(program, "--isolation", "perfect").Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("a wrong flag: %v, want exit code 2", err)
	}
}

func TestAgentForAnotherMachine(t *testing.T) {
	needToolchain(t)
	p := load(t, files{"chat/chat.go": program("chat", "return nil")})
	program := filepath.Join(t.TempDir(), "agent")
	if err := compile.Agent(t.Context(), p, compile.AgentOptions{Output: program, Target: "linux/arm64"}); err != nil {
		t.Fatal(err)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if file.Machine != elf.EM_AARCH64 {
		t.Errorf("machine is %v, want %v", file.Machine, elf.EM_AARCH64)
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("libraries %v, %v, want a static program", libraries, err)
	}
}

func TestAgentRefused(t *testing.T) {
	needToolchain(t)
	tests := []struct {
		name   string
		files  files
		target string
		want   []string // problems, or a part of the error
	}{
		{
			name: "modules that do not compile",
			files: files{
				"a/a.go":   program("a", "return one"),
				"b.go":     program("b", "return two"),
				"c/c.go":   program("c", "return nil"),
				"d d/d.go": program("d", "return three"),
			},
			want: []string{"a/a.go:9:9: undefined: one", "b.go:9:9: undefined: two", "d d/d.go:9:9: undefined: three"},
		},
		{
			name:  "another Run",
			files: files{"a/a.go": program("a", "return nil"), "b/b.go": "package b\n\nfunc Run() {}\n"},
			want:  []string{"b/b.go:3:6: Run has another signature than it needs: want func Run(ctx context.Context, agent *coma.Agent) error"},
		},
		{
			name:  "package main",
			files: files{"a/a.go": program("main", "return nil")},
			want:  []string{"a/a.go: package main cannot be part of one program with other modules: give the package another name"},
		},
		{
			name:  "a module in another language",
			files: files{"a/a.go": program("a", "return nil"), "b/main.py": ""},
			want:  []string{"module b is not written in Go"},
		},
		{name: "no target", files: files{"a/a.go": program("a", "return nil")}, target: "arm", want: []string{`target "arm": want`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := compile.Agent(t.Context(), load(t, test.files), compile.AgentOptions{Output: filepath.Join(t.TempDir(), "agent"), Target: test.target})
			var wrong *modproc.LoadError
			if !errors.As(err, &wrong) {
				if err == nil || len(test.want) != 1 || !strings.Contains(err.Error(), test.want[0]) {
					t.Fatalf("the error is %v, want %q", err, test.want)
				}
				return
			}
			var got []string
			for _, p := range wrong.Problems {
				got = append(got, p.String())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("problems are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}
