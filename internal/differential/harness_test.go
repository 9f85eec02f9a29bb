package differential

import (
	"strings"
	"testing"
)

// The harness must see what it is there to see: these programs go wrong in every way there is, by exit and by wait.
var troubles = []struct {
	name    string
	program Program
	mode    Mode
	want    Grade
	text    string // part of what is told
}{
	{"same", source(`func Main() string { return "a\xffb" }`, "a\xffb"), Mode{}, Same, ""},
	{"panic", source(`func Main() string { panic("p") }`, "panic: string p"), Mode{}, Same, ""},
	{"wrong", source(`func Main() string { return "a" }`, "b"), Mode{}, Wrong, "a"},
	{"invalid, as wanted", invalidSource(`func Main() string { return 1 }`), Mode{}, Same, "cannot use 1"},
	{"invalid, but run", invalidSource(`func Main() string { return "" }`), Mode{}, Wrong, ""},
	{"refused", source(`func Main() string { return undefined }`, "x"), Mode{}, NotRun, "undefined"},
	{"exits", source("import \"os\"\n\nfunc Main() string { os.Exit(3); return \"\" }", "x"), Mode{}, Crash, "exit status 3"},
	{"panics elsewhere", source(`func Main() string { go func() { panic("far") }(); select {} }`, "x"), Mode{}, Crash, "far"},
	{"leaves", source("import \"runtime\"\n\nfunc Main() string { runtime.Goexit(); return \"\" }", "Main ended its goroutine"), Mode{}, Same, ""},
	{"many at once", source("import (\n\t\"fmt\"\n\t\"sync/atomic\"\n\t\"os\"\n)\n\nvar _ atomic.Int64\n\nfunc Main() string { _, err := os.Stat(os.TempDir()); return fmt.Sprint(err) }", "<nil>"), Mode{Times: 8, Rounds: 2}, Same, ""},
}

func source(text, want string) Program {
	return Program{Kind: "trouble", Name: "trouble", Valid: true, Want: want, Files: map[string]string{"a.go": "package program\n\n" + text + "\n"}}
}

func invalidSource(text string) Program {
	p := source(text, "")
	p.Valid = false
	return p
}

func TestTroublesAreSeen(t *testing.T) {
	for _, test := range troubles {
		t.Run(test.name, func(t *testing.T) {
			test.mode.Engine = Interpreter
			graded, err := Grades(t.Context(), []Program{test.program}, test.mode)
			if err != nil {
				t.Fatal(err)
			}
			if g := graded[0]; g.Grade != test.want || !strings.Contains(g.Outcome.Text, test.text) {
				t.Errorf("graded %s, want %s with %q\n%s", g.Grade, test.want, test.text, g.Difference())
			}
		})
	}
}

// TestOneCrashIsOneCrash has a program that ends its process among others that share it.
func TestOneCrashIsOneCrash(t *testing.T) {
	fine := source(`func Main() string { return "fine" }`, "fine")
	bad := source("import \"os\"\n\nfunc Main() string { os.Exit(1); return \"\" }", "x")
	graded, err := Grades(t.Context(), []Program{fine, bad, fine, bad, bad, fine}, Mode{Engine: Interpreter, Together: 6})
	if err != nil {
		t.Fatal(err)
	}
	var got []Grade
	for _, g := range graded {
		got = append(got, g.Grade)
	}
	want := []Grade{Same, Crash, Same, Crash, Crash, Same}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("grades %v, want %v", got, want)
		}
	}
}

func TestFormatIsParsesInverse(t *testing.T) {
	for _, p := range corpus(t) {
		again, err := Parse(p.Kind, p.Name, p.format(nil))
		if err != nil {
			t.Fatal(err)
		}
		if again.Want != p.Want || again.Valid != p.Valid || len(again.Files) != len(p.Files) {
			t.Errorf("%s/%s changes when it is written", p.Kind, p.Name)
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	err := PrintTable(&b, []Graded{
		{Program{Kind: "b"}, Outcome{}, Same}, {Program{Kind: "a"}, Outcome{}, Wrong}, {Program{Kind: "b"}, Outcome{}, Crash},
	})
	want := "kind programs same refused wrong crashed\na 1 0 0 1 0\nb 2 1 0 0 1\nall 3 1 0 1 1"
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	if got := strings.Join(lines, "\n"); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
