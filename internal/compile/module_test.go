//go:build unix

package compile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/compile"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/module"
)

// outcome is what became of a module.
type outcome struct {
	output []string // lines of standard output and standard error
	exit   module.Exit
}

// run compiles a module and runs it at a host until it ends.
func run(t *testing.T, spec compile.Spec) outcome {
	t.Helper()
	executable, err := compile.Module(t.Context(), spec)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	host := newHost(t, spec.Name)
	endpoint := host.Endpoint()
	out := newCapture()
	instance, err := module.StartProcess(t.Context(), module.Spec{
		Source: moduleSource(spec), Agent: agentName, Generation: 1, Executable: []string{executable}, Compiled: true,
		API: endpoint.API, Broker: endpoint.Broker, Token: endpoint.Token,
	}, out)
	if err != nil {
		t.Fatalf("load: %v\n%s", err, strings.Join(out.all(), "\n"))
	}
	t.Cleanup(func() { instance.Stop(0); <-instance.Done() })
	if err := instance.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-instance.Done():
	case <-time.After(patience):
		t.Fatalf("it has not ended within %v", patience)
	}
	return outcome{out.all(), instance.Exit()}
}

func TestModuleRuns(t *testing.T) {
	needToolchain(t)
	tests := []struct {
		name   string
		folder string // of the module
		files  files
		want   []string // lines of output
	}{
		{
			name: "a folder without go.mod", folder: "chat",
			files: files{"chat/chat.go": program("chat", `fmt.Println("hello from", agent.Module)`, "fmt")},
			want:  []string{"stdout: hello from chat"},
		},
		{
			name: "what is written to standard error, before main too", folder: "chat",
			files: files{"chat/chat.go": program("chat", `early.Print("from Run"); fmt.Fprintln(os.Stderr, "direct")`, "fmt", "log", "os") +
				"\nvar early = log.New(os.Stderr, \"early: \", 0)\n"},
			want: []string{"stderr: early: from Run", "stderr: direct"},
		},
		{
			name: "shared packages", folder: "chat",
			files: files{
				"go.mod":             "module example.com/garden\n\ngo 1.26\n",
				"chat/chat.go":       program("chat", `fmt.Println(words.Hello())`, "fmt", "example.com/garden/shared/words"),
				"shared/words/w.go":  "package words\n\nimport \"example.com/garden/shared/deep\"\n\nfunc Hello() string { return deep.Word + \" there\" }\n",
				"shared/deep/d.go":   "package deep\n\nconst Word = \"hi\"\n",
				"chat/chat_test.go":  "package chat\n\nthis is not Go\n",
				"chat/only_plan9.go": "package chat\n\nthis is not Go either\n",
			},
			want: []string{"stdout: hi there"},
		},
		{
			name: "a module of another author", folder: "chat",
			files: files{
				"go.mod":       "module example.com/garden\n\ngo 1.26\n\nrequire github.com/rs/xid v1.4.0\n",
				"go.sum":       sumsOf("github.com/rs/xid v1.4.0"),
				"chat/chat.go": program("chat", `fmt.Println(len(xid.New().String()))`, "fmt", "github.com/rs/xid"),
			},
			want: []string{"stdout: 20"},
		},
		{
			name: "an embedded file", folder: "chat",
			files: files{
				"chat/chat.go": program("chat", `fmt.Print(prompt)`, "fmt", "_ embed") +
					"\n//go:embed prompt.txt\nvar prompt string\n",
				"chat/prompt.txt": "be brief\n",
			},
			want: []string{"stdout: be brief"},
		},
		{
			name: "one of several single files", folder: "",
			files: files{
				"a.go": program("a", `fmt.Println("a")`, "fmt"),
				"b.go": "package b\n\nthis does not parse\n",
			},
			want: []string{"stdout: a"},
		},
		{
			name: "a folder whose name is no import path", folder: "mein Gärtner",
			files: files{"mein Gärtner/g.go": program("g", `fmt.Printf("%T\n", state{})`, "fmt") + "\ntype state struct{}\n"},
			want:  []string{"stdout: g.state"},
		},
		{
			name: "package main", folder: "chat",
			files: files{"chat/chat.go": program("main", `fmt.Println("main")`, "fmt")},
			want:  []string{"stdout: main"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := write(t, test.files, test.folder)
			got := run(t, spec)
			if got.exit.Outcome != api.Finished || got.exit.Err != nil {
				t.Errorf("it ended with %+v, want finished", got.exit)
			}
			if !slices.Equal(got.output, test.want) {
				t.Errorf("it wrote %q, want %q", got.output, test.want)
			}
		})
	}
}

func TestModuleDies(t *testing.T) {
	needToolchain(t)
	helper := "\nfunc inner(m map[string]int) {\n\tm[\"x\"]++\n}\n"
	tests := []struct {
		name, body, more string
		cause            string
		frames           []string // innermost first, "" for none to be asked for
	}{
		{"panic in Run", `panic("boom")`, "", "panic: boom", []string{"chat/chat.go:9: chat.Run"}},
		{"nil map in a function", `inner(nil); return nil`, helper, "panic: assignment to entry in nil map", []string{"chat/chat.go:13: chat.inner", "chat/chat.go:9: chat.Run"}},
		{"in the standard library", `fmt.Println(strings.Repeat("x", -1))`, "", "panic: strings: negative Repeat count", []string{"chat/chat.go:9: chat.Run"}},
		{"in a goroutine", `done := make(chan bool); go inner(nil); <-done`, helper, "panic: assignment to entry in nil map", []string{"chat/chat.go:13: chat.inner"}},
		{"stack overflow", `endless(1)`, "\nfunc endless(n int) int { return endless(n+1) + 1 }\n", "stack overflow", nil},
		{"an error", `return fmt.Errorf("no luck")`, "", "no luck", nil},
		{"os.Exit", `os.Exit(3)`, "", "exit status 3", nil},
		{"Goexit", `runtime.Goexit()`, "", "runtime.Goexit ended Run", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			uses := "\nvar _, _, _, _ = fmt.Sprint, os.Exit, strings.Cut, runtime.GC\n"
			spec := write(t, files{"chat/chat.go": program("chat", test.body, "fmt", "os", "runtime", "strings") + test.more + uses}, "chat")
			got := run(t, spec)
			var failure *module.Failure
			if !errors.As(got.exit.Err, &failure) {
				t.Fatalf("it ended with %+v, want a failure", got.exit)
			}
			var frames []string
			for _, f := range failure.Frames {
				frames = append(frames, modproc.Frame{File: f.File, Line: f.Line, Function: f.Function}.String())
			}
			if test.name == "stack overflow" { // as many as are told
				if len(frames) < 3 || frames[2] != "chat/chat.go:12: chat.endless" {
					t.Errorf("frames are %q", frames)
				}
				frames = nil
			}
			if failure.Cause != test.cause || !slices.Equal(frames, test.frames) {
				t.Errorf("it died of %q at %q, want %q at %q", failure.Cause, frames, test.cause, test.frames)
			}
		})
	}
}

func TestModuleDoesNotCompile(t *testing.T) {
	needToolchain(t)
	tests := []struct {
		name   string
		folder string
		files  files
		want   []string
	}{
		{
			name: "all errors, with their lines", folder: "chat",
			files: files{"chat/chat.go": program("chat", "x := 1\n\ty := undefined1\n\treturn undefined2")},
			want: []string{
				"chat/chat.go:9:2: declared and not used: x",
				"chat/chat.go:10:2: declared and not used: y",
				"chat/chat.go:10:7: undefined: undefined1",
				"chat/chat.go:11:9: undefined: undefined2",
			},
		},
		{
			name: "syntax", folder: "chat",
			files: files{"chat/chat.go": program("chat", "x := := 1")},
			want:  []string{"chat/chat.go:9:7: syntax error: unexpected :=, expected expression"},
		},
		{
			name: "a shared package", folder: "chat",
			files: files{
				"go.mod":       "module example.com/garden\n\ngo 1.26\n",
				"chat/chat.go": program("chat", `words.Hello()`, "example.com/garden/words"),
				"words/w.go":   "package words\n\nfunc Hello() { return 1 }\n",
			},
			want: []string{"words/w.go:3:23: too many return values have (number) want ()"},
		},
		{
			name: "two declarations, in a single file", folder: "",
			files: files{"a.go": program("a", "return nil") + "\nvar x = 1\nvar x = 2\n"},
			want:  []string{"a.go:13:5: x redeclared in this block a.go:12:5: other declaration of x"},
		},
		{
			name: "no Run", folder: "chat",
			files: files{"chat/chat.go": "package chat\n"},
			want:  []string{"chat/chat.go:1:9: package chat has no function Run: want func Run(ctx context.Context, agent *coma.Agent) error"},
		},
		{
			name: "another Run", folder: "chat",
			files: files{"chat/chat.go": "package chat\n\nfunc Run() {}\n"},
			want:  []string{"chat/chat.go:3:6: Run has another signature than it needs: want func Run(ctx context.Context, agent *coma.Agent) error"},
		},
		{
			name: "another Run, of package main", folder: "chat",
			files: files{"chat/chat.go": "package main\n\nfunc Run() {}\n"},
			want:  []string{"chat/chat.go:3:6: Run has another signature than it needs: want func Run(ctx context.Context, agent *coma.Agent) error"},
		},
		{
			name: "a main of its own", folder: "chat",
			files: files{"chat/chat.go": program("main", "return nil") + "\nfunc main() {}\n"},
			want:  []string{"chat/chat.go:12:6: a module's package has no func main of its own: name the package otherwise than main, or leave func main out"},
		},
		{
			name: "a package that go.mod does not name", folder: "chat",
			files: files{
				"go.mod":       "module example.com/garden\n\ngo 1.26\n",
				"chat/chat.go": program("chat", `xid.New()`, "github.com/rs/xid"),
			},
			want: []string{"chat/chat.go:7:2: no required module provides package github.com/rs/xid; to add it: go get github.com/rs/xid"},
		},
		{
			name: "another, which nothing knows", folder: "chat",
			files: files{
				"go.mod":       "module example.com/garden\n\ngo 1.26\n",
				"chat/chat.go": program("chat", `uuid.New()`, "github.com/google/uuid"),
			},
			want: []string{"chat/chat.go:7:2: no required module provides package github.com/google/uuid; to add it: go get github.com/google/uuid"},
		},
		{
			name: "a package that is nowhere, in a single file", folder: "",
			files: files{"a.go": program("a", `nowhere.New()`, "nowhere")},
			want:  []string{"a.go:7:2: package nowhere is not in std"},
		},
		{
			name: "a broken go.mod", folder: "chat",
			files: files{
				"go.mod":       "module example.com/garden\n\ngo 1.26\n\nrequired x\n",
				"chat/chat.go": program("chat", "return nil"),
			},
			want: []string{"go.mod:5: unknown directive: required"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := compile.Module(t.Context(), write(t, test.files, test.folder))
			var wrong *modproc.LoadError
			if !errors.As(err, &wrong) {
				t.Fatalf("the error is %v, want a LoadError", err)
			}
			var got []string
			for _, p := range wrong.Problems {
				line, _, _ := strings.Cut(p.String(), " (/")
				got = append(got, line)
				if p.Line > 0 && strings.HasSuffix(p.File, ".go") && strings.TrimSpace(p.SourceLine) == "" && !strings.HasPrefix(p.File, "words") {
					t.Errorf("%v: the source line is missing", p)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("problems are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestModuleIsWhatWasRead: what is compiled is the text of the generation, whatever has become of the files.
func TestModuleIsWhatWasRead(t *testing.T) {
	needToolchain(t)
	spec := write(t, files{"chat/chat.go": program("chat", `fmt.Println("good")`, "fmt")}, "chat")
	for name, text := range map[string]string{"chat.go": "package chat\n\nbroken", "new.go": "package other\n"} {
		if err := os.WriteFile(filepath.Join(spec.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := run(t, spec); !slices.Equal(got.output, []string{"stdout: good"}) {
		t.Errorf("it wrote %q", got.output)
	}
	if err := os.RemoveAll(spec.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(spec.Dir, 0o755); err != nil { // the process is started in it
		t.Fatal(err)
	}
	spec.Text = clone(spec.Text)
	for name := range spec.Text {
		spec.Text[name] += "\n// another generation\n"
	}
	if got := run(t, spec); !slices.Equal(got.output, []string{"stdout: good"}) {
		t.Errorf("without its folder it wrote %q", got.output)
	}
}

// TestModuleIsKept: the same text is built once, and the newest builds are kept.
func TestModuleIsKept(t *testing.T) {
	needToolchain(t)
	spec := write(t, files{"chat/chat.go": program("chat", `return nil`)}, "chat")
	name := spec.GoFiles[0]
	original := spec.Text[name]
	build := func(version string) (string, os.FileInfo) {
		spec.Text = map[string]string{name: original + "\n// " + version + "\n"}
		executable, err := compile.Module(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(executable)
		if err != nil {
			t.Fatal(err)
		}
		return executable, info
	}
	first, before := build("1")
	again, after := build("1")
	if first != again || !os.SameFile(before, after) {
		t.Errorf("the same text was built twice: %s, %s", first, again)
	}
	second, _ := build("2")
	build("3")
	if first, _ = build("1"); first != again { // and is the newest again
		t.Errorf("executable is %s, was %s", first, again)
	}
	build("4")
	for executable, want := range map[string]bool{first: true, second: false} {
		if _, err := os.Stat(executable); (err == nil) != want {
			t.Errorf("%s: %v, want it kept: %v", executable, err, want)
		}
	}
}

// TestNothingIsWrittenIntoTheProject: not even what go.mod lacks.
func TestNothingIsWrittenIntoTheProject(t *testing.T) {
	needToolchain(t)
	made := files{
		"go.mod":       "module example.com/garden\n\ngo 1.26\n",
		"chat/chat.go": program("chat", `return nil`),
	}
	spec := write(t, made, "chat")
	if _, err := compile.Module(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	found := files{}
	err := filepath.WalkDir(spec.ProjectDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(spec.ProjectDir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		found[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(made) || found["go.mod"] != made["go.mod"] {
		t.Errorf("the project holds %v, want %v", found, made)
	}
}

func TestModuleStopsWithItsContext(t *testing.T) {
	needToolchain(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := compile.Module(ctx, write(t, files{"chat/chat.go": program("chat", "return nil")}, "chat"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want %v", err, context.Canceled)
	}
}

func TestNoToolchain(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"none", "", "find the go command"},
		{"too old", "#!/bin/sh\necho go version go1.21.3 linux/amd64\n", "go1.21.3: modules need go 1.26 or newer"},
		{"something else", "#!/bin/sh\necho 'a board game'\n", `it says "a board game"`},
		{"a broken one", "#!/bin/sh\necho cannot start >&2\nexit 1\n", "cannot start"},
	} {
		t.Run(test.name, func(t *testing.T) {
			command := filepath.Join(t.TempDir(), "go")
			if test.script != "" {
				if err := os.WriteFile(command, []byte(test.script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("COMA_GO", command)
			_, err := compile.Available()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q in it", err, test.want)
			}
		})
	}
}
