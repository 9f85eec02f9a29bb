package project

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const gardenSource = `
-- coma.yaml --
env: {A: b}
watch: {ignore: ["*.csv", chat/cache, "**/out/*.txt"]}
-- go.mod --
module garden
-- chat/chat.go --
package chat

import _ "garden/words"
RUN
-- chat/prompt.txt --
hello
-- chat/deep/data.txt --
hello
-- soil/soil.go --
package soil
RUN
-- beat.go --
package beat

import _ "garden/internal/list"
RUN
-- words/words.go --
package words

import _ "garden/internal/list"
-- words/list.txt --
hello
-- internal/list/list.go --
package list
-- internal/list/other/other.go --
package other
-- internal/list/data/x.txt --
x
`

func TestFingerprintChangesWithWhatMatters(t *testing.T) {
	for _, c := range []struct {
		name string
		edit string // an archive written over the project
		want []string
	}{
		{"nothing", "", nil},
		{"same content", "-- chat/prompt.txt --\nhello\n", nil},
		{"own file", "-- soil/soil.go --\npackage soil\n\n// changed\nRUN\n", []string{"soil"}},
		{"new file", "-- soil/more.go --\npackage soil\n", []string{"soil"}},
		{"empty file", "-- soil/empty.txt --\n", []string{"soil"}},
		{"single file", "-- beat.go --\npackage beat\nRUN\n", []string{"beat"}},
		{"data", "-- chat/prompt.txt --\nhullo\n", []string{"chat"}},
		{"nested data", "-- chat/deep/data.txt --\nhullo\n", []string{"chat"}},
		{"shared", "-- words/words.go --\npackage words\n", []string{"chat"}},
		{"data of a shared package", "-- words/list.txt --\nhullo\n", []string{"chat"}},
		{"shared by two, one indirectly", "-- internal/list/list.go --\npackage list\n\nvar X int\n", []string{"beat", "chat"}},
		{"data below a shared package", "-- internal/list/data/x.txt --\ny\n", []string{"beat", "chat"}},
		{"package below a shared package", "-- internal/list/other/other.go --\npackage other\n\nvar X int\n", nil},
		{"configuration of one", "-- coma.yaml --\nenv: {A: b}\nmodules: {soil: {grace: 6s}}\n", []string{"soil"}},
		{"configuration spelled out", "-- coma.yaml --\nenv: {A: b}\nmodules: {soil: {grace: 5s, restart: on-failure}}\n", nil},
		{"configuration of all", "-- coma.yaml --\nenv: {A: c}\n", []string{"beat", "chat", "soil"}},
		{"configuration of the agent", "-- coma.yaml --\nagent: other\nenv: {A: b}\ndurable: true\n", nil},
		{"go.mod", "-- go.mod --\nmodule garden\n\ngo 1.26\n", []string{"beat", "chat", "soil"}},
		{"beside the modules", "-- README.md --\nhello\n-- data/x.csv --\n1\n", nil},
		{"tests and leftovers", "-- chat/chat_test.go --\npackage chat\n-- chat/chat.go~ --\n-- chat/.chat.go.swp --\n-- chat/.chat.go.swo --\n-- chat/.#chat.go --\n" +
			"-- chat/#chat.go# --\n-- chat/4913 --\n-- chat/x.tmp --\n-- chat/x.log --\n-- chat/.DS_Store --\n-- chat/.git/x --\n-- chat/__pycache__/x --\n", nil},
		{"ignored by coma.yaml", "-- chat/x.csv --\n1\n-- chat/deep/x.csv --\n1\n-- chat/cache/x --\n1\n-- soil/a/out/x.txt --\n1\n", nil},
		{"nearly ignored by coma.yaml", "-- soil/cache/x --\n1\n", []string{"soil"}},
		{"a dot file", "-- soil/.env --\nA=b\n", []string{"soil"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, gardenSource)
			before := load(t, dir)
			unpack(t, dir, c.edit)
			if got := changed(before, load(t, dir)); !slices.Equal(got, c.want) {
				t.Errorf("changed %q, want %q", got, c.want)
			}
		})
	}
}

// changed names the modules whose fingerprints differ.
func changed(before, after *Project) (names []string) {
	for i, m := range before.Modules {
		if after.Modules[i].Fingerprint != m.Fingerprint {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestFingerprintOfAMovedProjectStays(t *testing.T) {
	dir := folder(t, gardenSource)
	before := load(t, dir)
	moved := filepath.Join(t.TempDir(), "moved")
	must(t, os.Rename(dir, moved))
	if got := changed(before, load(t, moved)); got != nil {
		t.Errorf("changed %q", got)
	}
}

func TestFingerprintOfLargeAndUnreadableFiles(t *testing.T) {
	dir := folder(t, "-- chat/chat.go --\npackage chat\nRUN\n-- soil/soil.go --\npackage soil\nRUN\n")
	large := filepath.Join(dir, "chat", "model.bin")
	must(t, os.WriteFile(large, make([]byte, maxHashedBytes+1), 0o644))
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	must(t, os.Chtimes(large, then, then))
	before := load(t, dir)

	must(t, os.WriteFile(large, []byte(strings.Repeat("x", maxHashedBytes+1)), 0o644))
	must(t, os.Chtimes(large, then, then))
	if got := changed(before, load(t, dir)); got != nil {
		t.Errorf("a large file was read: changed %q", got)
	}
	must(t, os.Chtimes(large, then, then.Add(time.Second)))
	if got := changed(before, load(t, dir)); !slices.Equal(got, []string{"chat"}) {
		t.Errorf("changed %q after a new time", got)
	}

	// Reading it fails even for root.
	if _, err := os.Stat("/proc/self/mem"); err != nil {
		t.Skip("no /proc here")
	}
	must(t, os.Symlink("/proc/self/mem", filepath.Join(dir, "soil", "mem")))
	p := load(t, dir)
	if got := problems(p); len(got) != 1 || !strings.HasPrefix(got[0], "soil/mem: ") {
		t.Errorf("problems %q", got)
	}
}

func TestIgnored(t *testing.T) {
	p := &Project{Dir: "/p"}
	for _, pattern := range []string{"*.csv", "chat/cache", "/top", "a/**/z", "./b/*"} {
		glob, err := parseGlob(pattern)
		must(t, err)
		p.ignore.globs = append(p.ignore.globs, glob)
	}
	for path, want := range map[string]bool{
		"/p": false, "/p/chat": false, "/p/chat/chat.go": false, "/elsewhere/x.csv": false, "/p/..x": false,
		"/p/x.csv": true, "/p/chat/deep/x.csv": true, "/p/x.csv/y": true,
		"/p/chat/cache": true, "/p/chat/cache/x": true, "/p/soil/chat/cache": false,
		"/p/top": true, "/p/top/x": true, "/p/chat/top": false,
		"/p/a/z": true, "/p/a/b/c/z/d": true, "/p/a/b": false, "/p/b/x": true, "/p/b": false,
		"/p/.git/config": true, "/p/chat/.env": false, "/p/vendor": false, "/p/vendor/x": true,
	} {
		if got := p.Ignored(path, false); got != want {
			t.Errorf("Ignored(%q) = %v", path, got)
		}
	}
	if !p.Ignored("/p/vendor", true) || !p.Ignored("/p/.git", true) {
		t.Error("folders that hold no source are not ignored")
	}
}

// BenchmarkLoad reads 100 modules of a hundred lines that share a package.
func BenchmarkLoad(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "garden")
	var body strings.Builder
	for i := range 20 {
		fmt.Fprintf(&body, "\nfunc f%d(a, b int) int {\n\tif a > b {\n\t\treturn a - b\n\t}\n\treturn a + b\n}\n", i)
	}
	for i := range 100 {
		name := fmt.Sprintf("m%03d", i)
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			b.Fatal(err)
		}
		source := "package " + name + "\n\nimport _ \"garden/words\"\n\nfunc Run() {}\n" + body.String()
		if err := os.WriteFile(filepath.Join(dir, name, name+".go"), []byte(source), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Load(dir); err != nil {
			b.Fatal(err)
		}
	}
}
