package compile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadProblems(t *testing.T) {
	b := &build{projectDir: "/p", dir: "/cache/b", overlay: map[string]string{"/p/chat/chat.go": "/cache/b/text1.go"}}
	p := &modulePackage{spec: Spec{Dir: "/p/chat", GoFiles: []string{"/p/chat/chat.go"}, Text: map[string]string{"/p/chat/chat.go": "one\ntwo\r\nthree"}}}
	p.run.Filename, p.run.Line, p.run.Column = "/p/chat/chat.go", 2, 6
	tests := []struct {
		name, output string
		want         []string
	}{
		{"nothing", "", nil},
		{"no place", "go: cannot find main module\n", nil},
		{"a place in the overlay", "# example.com/chat\n../cache/b/text1.go:2:5: undefined: x\n", []string{"chat/chat.go:2:5: undefined: x | two"}},
		{"an absolute one, and what belongs to it", "/cache/b/text1.go:3:1: have ()\n\twant (int)\n", []string{"chat/chat.go:3:1: have () want (int) | three"}},
		{"told twice", "./chat/chat.go:1:1: x\nchat/chat.go:1:1: x\n", []string{"chat/chat.go:1:1: x | one"}},
		{"in order", "chat/chat.go:3: c\nchat/chat.go:1:2: a\n", []string{"chat/chat.go:1:2: a | one", "chat/chat.go:3: c | three"}},
		{"of somebody else alone", "/root/go/pkg/mod/example.com/other@v1.0.0/x.go:3:1: undefined: y\n", nil},
		{"of the generated main", "../cache/b/main.go:9:30: cannot use module.Run (value of type func()) as coma.RunFunc\n",
			[]string{"chat/chat.go:2:6: Run has another signature than it needs: want " + wantRun + " | two"}},
		{"a line too large for a number", "chat/chat.go:99999999999999999999:1: x\n", []string{"chat/chat.go:9223372036854775807:1: x | "}},
	}
	for _, test := range tests {
		var got []string
		for _, problem := range b.readProblems(b.truePlaces(test.output), []*modulePackage{p}) {
			got = append(got, problem.String()+" | "+problem.SourceLine)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: problems are %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzReadProblems(f *testing.F) {
	f.Add("# x\nchat/chat.go:2:5: undefined: x\n\tmore\n")
	f.Add("a.go:1:1: b[/x/y.go:1:2]\n./c.go:9: d")
	f.Add("\t\n:1:\n")
	f.Fuzz(func(t *testing.T, output string) {
		b := &build{projectDir: "/p", dir: "/cache/b", overlay: map[string]string{"/p/chat.go": "/cache/b/text1.go"}}
		p := &modulePackage{spec: Spec{Dir: "/p", Text: map[string]string{"/p/chat.go": "one\n"}}}
		for _, problem := range b.readProblems(b.truePlaces(output), []*modulePackage{p}) {
			if strings.Contains(problem.File, "\n") || problem.Line < 0 || problem.Column < 0 {
				t.Errorf("problem %+v", problem)
			}
		}
	})
}

func TestImportable(t *testing.T) {
	for importPath, want := range map[string]bool{
		"example.com/garden/chat": true, "garden": true, "a_b-c.d~e+f/g": true,
		"mein Garten": false, "garten/Wörter": false, "a/": false, "": false, "a/.b": false, "a./b": false, "a/../b": false,
	} {
		if got := importable(importPath); got != want {
			t.Errorf("importable(%q) is %v", importPath, got)
		}
	}
}

func TestRequiresFolder(t *testing.T) {
	known := origin{dir: "/coma"}
	tests := []struct {
		goMod string
		coma  origin
		want  bool
	}{
		{"module x\n\nrequire a v1.0.0\n", known, false},
		{"module x\n\nreplace a => ../a\n", known, true},
		{"module x\n\nreplace (\n\ta v1.0.0 => \"/a b\"\n)\n", known, true},
		{"module x\n\nreplace a => b v1.0.0\n", known, false},
		{"module x\n\nreplace " + comaPath + " => /elsewhere\n", known, false},
		{"module x\n\nreplace " + comaPath + " => /elsewhere\n", origin{}, true},
	}
	for _, test := range tests {
		if got := requiresFolder([]byte(test.goMod), test.coma); got != test.want {
			t.Errorf("%q: %v, want %v", test.goMod, got, test.want)
		}
	}
}

func TestModuleLine(t *testing.T) {
	for goMod, want := range map[string]string{
		"module example.com/x\n": "example.com/x", "// a remark\n\nmodule \"example.com/x\" // why\n": "example.com/x", "go 1.26\n": "", "": "",
	} {
		if got := moduleLine([]byte(goMod)); got != want {
			t.Errorf("%q: %q, want %q", goMod, got, want)
		}
	}
}

// TestMinorVersion: what is asked of a toolchain is what coma's own packages need.
func TestMinorVersion(t *testing.T) {
	goMod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := goVersion.FindStringSubmatch(strings.Replace(string(goMod), "\ngo 1.", "\ngo1.", 1))
	if found == nil || found[1] != "26" || minorVersion != 26 {
		t.Errorf("go.mod says go 1.%v, minorVersion is %d", found, minorVersion)
	}
}

func TestPrune(t *testing.T) {
	cache := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"module-a-1": time.Hour, "module-a-2": 2 * time.Hour, "module-a-3": 3 * time.Hour, "module-a-4": 4 * time.Hour,
		"module-b-1": 29 * 24 * time.Hour, "module-b-2": 31 * 24 * time.Hour,
		"require-1": time.Minute, "require-2": 31 * 24 * time.Hour, "new-1": 31 * 24 * time.Hour,
	} {
		dir := filepath.Join(cache, name)
		if err := os.MkdirAll(filepath.Join(dir, "inside"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(cache, now); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"module-a-1", "module-a-2", "module-a-3", "module-b-1", "require-1"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}
