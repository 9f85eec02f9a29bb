//go:build unix

package module

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const head = "package chat\n\nimport (\n\t\"context\"\n\t\"github.com/concurrent-modular-agent/coma\"\n)\n\n"
const runs = "func Run(ctx context.Context, agent *coma.Agent) error { return nil }\n"

// TestLoads loads modules of all shapes and runs them; their output shows which code it was.
func TestLoads(t *testing.T) {
	tests := []struct {
		name, folder string
		files        map[string]string
		want         string // printed lines, space-separated
	}{
		{"one file", "chat", map[string]string{"chat/chat.go": wrap([]string{"fmt"}, `fmt.Println("hi"); return nil`)}, "hi"},
		{"two files", "chat", map[string]string{
			"chat/a.go": wrap(nil, `word(); return nil`), "chat/b.go": "package chat\n\nimport \"fmt\"\n\nfunc word() { fmt.Print(\"from b\\n\") }\n"}, "from b"},
		{"tests and other systems left out", "chat", map[string]string{
			"chat/a.go":             wrap([]string{"fmt"}, `fmt.Println(word); return nil`),
			"chat/word_linux.go":    "package chat\n\nconst word = \"linux\"\n",
			"chat/word_windows.go":  "package chat\n\nconst word = \"windows\"\n",
			"chat/tagged.go":        "//go:build never\n\npackage chat\n\nconst word = \"never\"\n",
			"chat/a_test.go":        "package chat_test\n\nimport _ \"testing\"\n\nsyntax error\n",
			"chat/_not.go":          "not go\n",
			"chat/.hidden.go":       "not go\n",
			"chat/testdata/some.go": "not go\n"}, "linux"},
		{"package of another name", "chat", map[string]string{"chat/chat.go": strings.Replace(wrap([]string{"fmt"}, `fmt.Println("hi"); return nil`), "package chat", "package other", 1)}, "hi"},
		{"package main with main", "chat", map[string]string{"chat/chat.go": strings.Replace(wrap([]string{"fmt"}, `fmt.Println("run"); return nil`, `func main() { fmt.Println("main") }`), "package chat", "package main", 1)}, "run"},
		{"odd folder", "my chat-bot 2.0 ä'(x)", map[string]string{"my chat-bot 2.0 ä'(x)/the file.go": wrap([]string{"fmt"}, `fmt.Println("hi"); return nil`)}, "hi"},
		{"shared package", "chat", map[string]string{
			"chat/chat.go":     wrap([]string{"fmt", "example.com/proj/words"}, `fmt.Println(words.Hello()); return nil`),
			"words/words.go":   "package words\n\nimport \"example.com/proj/words/in\"\n\nfunc Hello() string { return in.Word + \"!\" }\n",
			"words/in/in.go":   "package in\n\nconst Word = \"hello\"\n",
			"words/no_test.go": "package words\n\nfunc {\n"}, "hello!"},
		{"package below the module", "chat", map[string]string{
			"chat/chat.go":    wrap([]string{"fmt", "example.com/proj/chat/words"}, `fmt.Println(words.Hello); return nil`),
			"chat/words/w.go": "package words\n\nvar Hello = \"below\"\n"}, "below"},
		{"package named otherwise than its folder", "chat", map[string]string{
			"chat/chat.go":          wrap([]string{"fmt", "example.com/proj/word-list"}, `fmt.Println(words.Hello); return nil`),
			"word-list/whatever.go": "package words\n\nvar Hello = \"dash\"\n"}, "dash"},
		{"shared by two ways", "chat", map[string]string{
			"chat/chat.go": wrap([]string{"fmt", "example.com/proj/a", "example.com/proj/b"}, `fmt.Println(a.N(), b.N()); return nil`),
			"a/a.go":       "package a\n\nimport \"example.com/proj/c\"\n\nfunc N() int { c.N++; return c.N }\n",
			"b/b.go":       "package b\n\nimport \"example.com/proj/c\"\n\nfunc N() int { c.N++; return c.N }\n",
			"c/c.go":       "package c\n\nvar N int\n"}, "1 2"},
		{"generics of the standard library", "chat", map[string]string{"chat/chat.go": wrap([]string{"fmt", "slices", "cmp", "math/rand/v2"},
			`s := []int{3, 1, 2};  fmt.Println(slices.Contains(s, 2), cmp.Compare(2, 1), rand.IntN(1)); return nil`)}, "true 1 0"},
		{"log, println, os.Stdout", "chat", map[string]string{"chat/chat.go": wrap([]string{"fmt", "log", "os", "log/slog"},
			`log.SetFlags(0); log.Print("logged"); println("built in"); fmt.Fprintln(os.Stdout, "file"); os.Stderr.WriteString("err"); slog.Info("structured"); return nil`)}, "logged|built in|file|err|structured"},
		{"log with the caller", "chat", map[string]string{"chat/chat.go": wrap([]string{"log", "os", "bytes", "fmt"},
			"log.SetFlags(log.Lshortfile); log.SetPrefix(\"p: \")\nlog.Println(\"one\")\nvar b bytes.Buffer; l := log.New(&b, \"q: \", log.Lshortfile|log.Lmsgprefix)\nhelp(l); fmt.Print(b.String()); _ = os.Args; return nil",
			"func help(l *log.Logger) {\n\tl.Printf(\"two %d\", 2)\n\tl.Output(2, \"three\")\n}")}, "p: chat.go:15: one|chat.go:20: q: two 2|chat.go:17: q: three"},
		{"environment", "chat", map[string]string{"chat/chat.go": wrap([]string{"fmt", "os"},
			`os.Setenv("X", "1"); fmt.Println(os.Getenv("X"), os.Getenv("COMA_MODULE"), os.Getenv("GIVEN")); return nil`)}, "1 chat yes"},
		{"embedded files", "chat", map[string]string{
			"chat/chat.go":   wrap([]string{"fmt", "embed"}, "b, err := files.ReadFile(\"prompts/b.txt\"); fmt.Println(hello, string(b), err); return nil", "//go:embed hello.txt\nvar hello string\n//go:embed prompts\nvar files embed.FS"),
			"chat/hello.txt": "hi", "chat/prompts/b.txt": "there"}, "hi there <nil>"},
		{"init", "chat", map[string]string{"chat/chat.go": wrap([]string{"fmt"}, "fmt.Println(1); return nil", "func init() { fmt.Println(0) }")}, "0|1"},
	}
	for _, test := range tests {
		for _, isolation := range []string{"process", "none"} {
			t.Run(test.name+"/"+isolation, func(t *testing.T) {
				t.Parallel()
				s := spec(source(t, project(t, test.files), test.folder))
				s.Env = map[string]string{"GIVEN": "yes"}
				out := newCapture()
				var i Instance
				var err error
				if isolation == "none" {
					i, err = StartGoroutines(t.Context(), s, out, func() (api.Session, error) { return &testSession{id: s.identity()}, nil })
				} else {
					i, err = StartProcess(t.Context(), s, out)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := i.Start(); err != nil {
					t.Fatal(err)
				}
				if exit := end(t, i); exit.Err != nil {
					t.Fatal(exit.Err, exit.Err.(*Failure).Frames)
				}
				for part := range strings.SplitSeq(test.want, "|") {
					if !strings.Contains(out.text(), part) {
						t.Errorf("printed %q, want %q", out.text(), part)
					}
				}
				if strings.Contains(out.text(), "main") {
					t.Errorf("func main ran: %s", out.text())
				}
			})
		}
	}
}

// TestSingleFile loads one file of several in the project's folder.
func TestSingleFile(t *testing.T) {
	dir := project(t, map[string]string{"a.go": wrap([]string{"fmt"}, `fmt.Println("a"); return nil`), "b.go": wrap(nil, "return nil")})
	src := Source{Name: "a", Dir: dir, GoFiles: []string{dir + "/a.go"}, ProjectDir: dir}
	out := newCapture()
	p, err := Load(t.Context(), src, out)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if out.text() != "stdout: a" {
		t.Errorf("printed %q", out.text())
	}
}

// TestRefuses loads code that is wrong.
func TestRefuses(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  []string // file:line:column: message, of all problems; … cuts the rest off
		line  string   // the first problem's source line, if not ""
	}{
		{"syntax", map[string]string{"chat/chat.go": head + "func Run( {\n}\n\nvar x = = 1\n", "chat/b.go": "package chat\n\nfunc {\n"},
			[]string{"chat/b.go:3:6: …", "chat/chat.go:8:11: …"}, "func {"},
		{"no Run", map[string]string{"chat/chat.go": "package chat\n\nfunc walk() {}\n"},
			[]string{"chat/chat.go:1:9: package chat has no function Run", "\twant func Run(ctx context.Context, agent *coma.Agent) error"}, "package chat"},
		{"a method Run", map[string]string{"chat/chat.go": "package chat\n\ntype t int\n\nfunc (t) Run() {}\n"}, []string{"chat/chat.go:5:10: Run is a method of t, and must be a function", "\twant…"}, ""},
		{"wrong Run", map[string]string{"chat/chat.go": head + "func Run(ctx context.Context) error { return nil }\nvar _ coma.Agent\n"},
			[]string{"chat/chat.go:8:6: Run does not take the agent", "\thave func Run(ctx context.Context) error", "\twant func Run(ctx context.Context, agent *coma.Agent) error"}, "func Run(ctx context.Context) error { return nil }"},
		{"undefined", map[string]string{"chat/chat.go": head + "func Run(ctx context.Context, agent *coma.Agent) error {\n\tx := 1\n\treturn nothing(x)\n}\n"},
			[]string{"chat/chat.go:10:9: undefined: nothing"}, "\treturn nothing(x)"},
		{"wrong type in a shared package", map[string]string{
			"chat/chat.go": wrap([]string{"example.com/proj/words"}, "words.X(); return nil"), "words/w.go": "package words\n\nfunc X() {\n\tvar s string = 1\n\t_ = s\n}\n"},
			[]string{"words/w.go:4:17: cannot use 1 (untyped int constant) as string value in variable declaration"}, ""},
		{"unknown packages", map[string]string{"chat/chat.go": "package chat\n\nimport (\n\t\"golang.org/x/net/html\"\n\t\"example.com/proj/gone\"\n\t\"example.com/proj/empty\"\n\t\"C\"\n)\n", "empty/x_test.go": "package empty\n"},
			[]string{"chat/chat.go:4:2: package golang.org/x/net/html is not available to interpreted modules: engine: go compiles this module with it", "chat/chat.go:5:2: import example.com/proj/gone: the project has no readable folder gone",
				"chat/chat.go:6:2: import example.com/proj/empty: the folder empty holds no Go files", "chat/chat.go:7:2: cgo is not available to modules…"}, "\t\"golang.org/x/net/html\""},
		{"two packages", map[string]string{"chat/a.go": head + runs, "chat/b.go": "package other\n"}, []string{"chat/b.go:1:9: found packages chat (a.go) and other (b.go) in one folder"}, ""},
		{"declared twice", map[string]string{"chat/a.go": head + runs + "func x() {}\nfunc x() {}\n"}, []string{"chat/a.go:10:6: x redeclared in this block", "\tchat/a.go:9:6: other declaration of x"}, ""},
		{"import cycle", map[string]string{"chat/a.go": wrap([]string{"example.com/proj/a"}, "a.X(); return nil"), "a/a.go": "package a\n\nimport \"example.com/proj/b\"\n\nfunc X() { b.X() }\n", "b/b.go": "package b\n\nimport \"example.com/proj/a\"\n\nfunc X() { a.X() }\n"},
			[]string{"b/b.go:3:8: import cycle not allowed"}, ""},
		{"panic in a variable", map[string]string{"chat/a.go": head + runs + "var y []int\n\nvar x = 1 +\n\ty[len(y)]\n"}, []string{"chat/a.go:12:2: while the package initialises: panic: runtime error: index out of range [0] with length 0"}, "\ty[len(y)]"},
		{"panic in a call for a variable", map[string]string{"chat/a.go": head + runs + "func f() int { panic(\"early\") }\n\nvar x = f()\n"}, []string{"chat/a.go:9:16: while the package initialises: panic: early"}, "func f() int { panic(\"early\") }"},
		{"panic in init", map[string]string{"chat/a.go": head + runs + "func init() {\n\tpanic(\"early\")\n}\n"}, []string{"chat/a.go:10:2: while the package initialises: panic: early"}, "\tpanic(\"early\")"},
		{"embedded file that is not there", map[string]string{"chat/a.go": wrap([]string{"embed"}, "var _ embed.FS; return nil", "//go:embed gone.txt\nvar gone string")}, []string{"chat/a.go:16:3: pattern gone.txt: no matching files found"}, "//go:embed gone.txt"},
		{"exit in init", map[string]string{"chat/a.go": wrap([]string{"os"}, "return nil", "func init() {\n\tos.Exit(3)\n}")}, []string{"…exit status 3 (os.Exit)…"}, ""},
		{"empty", map[string]string{"chat/a_test.go": "package chat\n"}, []string{"chat: no Go file to load…"}, ""},
	}
	for _, test := range tests {
		for _, isolation := range []string{"process", "none"} {
			t.Run(test.name+"/"+isolation, func(t *testing.T) {
				t.Parallel()
				s := spec(source(t, project(t, test.files), "chat"))
				var err error
				if isolation == "none" {
					_, err = Load(t.Context(), s.Source, newCapture())
				} else {
					_, err = StartProcess(t.Context(), s, newCapture())
				}
				if err == nil {
					t.Fatal("loads")
				}
				var refused *LoadError
				if !errors.As(err, &refused) {
					if strings.HasPrefix(test.want[0], "…") && strings.Contains(err.Error(), strings.Trim(test.want[0], "…")) {
						return // os.Exit ends the process
					}
					t.Fatalf("not a LoadError: %v", err)
				}
				got := strings.Split(refused.Error(), "\n")
				if !slices.EqualFunc(got, test.want, fits) {
					t.Errorf("problems:\n%s\nwant:\n%s", refused, strings.Join(test.want, "\n"))
				}
				if test.line != "" && refused.Problems[0].SourceLine != test.line {
					t.Errorf("source line %q, want %q", refused.Problems[0].SourceLine, test.line)
				}
			})
		}
	}
}

// TestLanguageVersion runs a loop whose meaning go.mod's go line decides.
func TestLanguageVersion(t *testing.T) {
	const body = "var fs []func() int\nfor i := 0; i < 2; i++ { fs = append(fs, func() int { return i }) }\nfmt.Println(fs[0](), fs[1]())\nreturn nil"
	for version, want := range map[string]string{"go1.21": "stdout: 2 2", "go1.22": "stdout: 0 1", "": "stdout: 0 1"} {
		src := source(t, project(t, map[string]string{"chat/chat.go": wrap([]string{"fmt"}, body)}), "chat")
		src.GoVersion = version
		out := newCapture()
		p, err := Load(t.Context(), src, out)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		p.Close()
		if out.text() != want {
			t.Errorf("%q printed %q, want %q", version, out.text(), want)
		}
	}
}

func fits(got, want string) bool {
	if part, ok := strings.CutPrefix(want, "…"); ok {
		return strings.Contains(got, strings.TrimSuffix(part, "…"))
	}
	if part, ok := strings.CutSuffix(want, "…"); ok {
		return strings.HasPrefix(got, part)
	}
	return got == want
}

// TestLoadInterrupted loads code whose init function does not end.
func TestLoadInterrupted(t *testing.T) {
	for _, isolation := range []string{"process", "none"} {
		t.Run(isolation, func(t *testing.T) {
			s := spec(source(t, project(t, map[string]string{"chat/a.go": wrap(nil, "return nil", "func init() { println(\"in\"); for {} }")}), "chat"))
			ctx, cancel := context.WithCancel(t.Context())
			out := newCapture()
			failed := make(chan error, 1)
			go func() {
				var err error
				if isolation == "none" {
					_, err = Load(ctx, s.Source, out)
				} else {
					_, err = StartProcess(ctx, s, out)
				}
				failed <- err
			}()
			out.await(t, "in")
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	}
}
