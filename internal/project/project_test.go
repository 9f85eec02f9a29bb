package project

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// run is a module's source, ready to be put behind a package clause.
const run = "\nimport \"context\"\n\nfunc Run(ctx context.Context, agent any) error { return nil }\n"

// folder writes files into a new folder named garden: a line "-- name --" before each, and RUN stands for a func Run.
func folder(t *testing.T, archive string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "garden")
	unpack(t, dir, archive)
	return dir
}

func unpack(t *testing.T, dir, archive string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	path := ""
	for line := range strings.Lines(archive) {
		if name, ok := strings.CutPrefix(line, "-- "); ok {
			path = filepath.Join(dir, strings.TrimSuffix(name, " --\n"))
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, nil, 0o644))
		} else if path != "" {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString(strings.ReplaceAll(line, "RUN\n", run))
			must(t, err)
			must(t, f.Close())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, dir string) *Project {
	t.Helper()
	p, err := Load(dir)
	must(t, err)
	return p
}

func names(p *Project) (names []string) {
	for _, m := range p.Modules {
		names = append(names, m.Name)
	}
	return names
}

func problems(p *Project) (texts []string) {
	for _, problem := range p.Problems {
		texts = append(texts, problem.String())
	}
	return texts
}

func TestLoadFindsModulesAndSharedPackages(t *testing.T) {
	dir := folder(t, `
-- go.mod --
// the garden
module "example.com/garden" // ours

go 1.26
-- doc.go --
// Package garden is documented here.
package garden

import (
	_ "embed"
	_ "unsafe"
)
-- chat/chat.go --
package chat

import (
	"example.com/garden/chat/parse"
	w "example.com/garden/words"
)

var _, _ = parse.X, w.X
-- chat/run.go --
package chat
RUN
-- chat/run_test.go --
package chat
-- chat/run_plan9.go --
package chat
-- chat/old.go --
//go:build ignore

package main
-- chat/parse/parse.go --
package parse

var X int
-- chat/prompts/hello.txt --
Hello
-- words/words.go --
package words

import "example.com/garden/internal/list"

var X = list.X
-- internal/list/list.go --
package list

import "example.com/garden/nothing/there"
-- beat.go --
package beat
RUN
-- broken/broken.go --
package broken

func Run( {
-- half.go --
pack
-- data/list.csv --
1
-- testdata/x/x.go --
package x
RUN
-- _old/x.go --
package x
RUN
-- .git/x.go --
package x
RUN
-- vendor/x/x.go --
package x
RUN
-- soil/soil.go --
package soil
RUN
`)
	p := load(t, dir)
	if got, want := names(p), []string{"beat", "broken", "chat", "half", "soil"}; !slices.Equal(got, want) {
		t.Fatalf("modules %q, want %q", got, want)
	}
	if len(p.Problems) > 0 {
		t.Errorf("problems %q", problems(p))
	}
	if p.Dir != dir || p.Agent != "garden" || p.ModulePath != "example.com/garden" || p.Durable || p.MailboxLimit != 0 {
		t.Errorf("project %+v", p)
	}
	chat := p.Module("chat")
	in := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	if want := in("chat/chat.go", "chat/run.go"); !slices.Equal(chat.GoFiles, want) {
		t.Errorf("chat's files %q, want %q", chat.GoFiles, want)
	}
	if want := in("chat/parse", "internal/list", "words"); !slices.Equal(chat.Imports, want) {
		t.Errorf("chat's imports %q, want %q", chat.Imports, want)
	}
	if chat.Dir != filepath.Join(dir, "chat") || chat.File != "" {
		t.Errorf("chat is in %q, file %q", chat.Dir, chat.File)
	}
	if chat.Engine != "auto" || chat.Isolation != "process" || chat.Restart != "on-failure" || chat.MemoryLimit != 512<<20 || chat.Grace != 5*time.Second || len(chat.Env) != 0 {
		t.Errorf("chat's defaults %+v", chat)
	}
	beat := p.Module("beat")
	if beat.Dir != dir || beat.File != filepath.Join(dir, "beat.go") || !slices.Equal(beat.GoFiles, []string{beat.File}) || len(beat.Imports) != 0 {
		t.Errorf("beat %+v", beat)
	}
	if p.Module("beet") != nil {
		t.Error("a module that is not there was found")
	}
}

func TestLoadSharedPackageInAFolderWithoutGoMod(t *testing.T) {
	p := load(t, folder(t, `
-- chat/chat.go --
package chat

import _ "garden/words"

func Run() {}
-- words/words.go --
package words

func broken( {
`))
	if got := names(p); !slices.Equal(got, []string{"chat"}) {
		t.Fatalf("modules %q: words is a shared package, even while it does not parse", got)
	}
	if got, want := p.Modules[0].Imports, []string{filepath.Join(p.Dir, "words")}; !slices.Equal(got, want) {
		t.Errorf("imports %q, want %q", got, want)
	}
}

func TestDeclaresRun(t *testing.T) {
	for source, want := range map[string]bool{
		"package a\n\nfunc Run() {}":             true,
		"package a; func\tRun[T any]() {}":       true,
		"package a\nfunc f() {\n\nfunc Run() {":  true, // f lacks its end
		"":                                       false,
		"package a\n\nfunc Runner() {}":          false,
		"package a\n\nfunc (t T) Run() {}":       false,
		"package a\n\n// func Run() {}":          false,
		"package a\n\nvar s = `\nfunc Run() {}`": false,
		"package a\n\nvar Run = func() {}":       false,
	} {
		if got := declaresRun([]byte(source)); got != want {
			t.Errorf("declaresRun(%q) = %v", source, got)
		}
	}
}

func TestLoadTellsWhatDoesNotRun(t *testing.T) {
	p := load(t, folder(t, `
-- chat/chat.go --
package chat
RUN
-- helpers/a.go --
// Package helpers helps nobody.
package helpers

func Help() {}
-- tools.go --
package tools

type t struct{}

func (t) Run() {}
-- tests/a_test.go --
package tests
`))
	want := []string{
		"helpers/a.go:2:1: helpers: no func Run(ctx, agent) and no module imports it",
		"tools.go:1:1: tools.go: no func Run(ctx, agent) and no module imports it",
	}
	if got := problems(p); !slices.Equal(got, want) {
		t.Errorf("problems\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLoadReadsTheConfiguration(t *testing.T) {
	t.Setenv("COMA_TEST_KEY", "secret")
	p := load(t, folder(t, `
-- coma.yaml --
agent: kitchen
durable: true
mailbox: {limit: 10}
restart: always
memory: 64MiB
env: {MODEL: small, PORT: 8080, KEY: "${COMA_TEST_KEY}"}
modules:
  chat: {engine: go, isolation: none, restart: never, memory: 1GB, grace: 1m, env: {MODEL: large}}
  soil: {disabled: true}
  eye: {engine: exec}
-- chat/chat.go --
package chat
RUN
-- soil/soil.go --
package soil
RUN
-- leaf/leaf.go --
package leaf
RUN
-- eye/main.py --
print("hello")
`))
	if p.Agent != "kitchen" || !p.Durable || p.MailboxLimit != 10 {
		t.Errorf("project %+v", p)
	}
	if !slices.Equal(names(p), []string{"chat", "eye", "leaf"}) || !slices.Equal(p.Disabled, []string{"soil"}) {
		t.Fatalf("modules %q, disabled %q", names(p), p.Disabled)
	}
	chat, leaf, eye := p.Module("chat"), p.Module("leaf"), p.Module("eye")
	if chat.Engine != "go" || chat.Isolation != "none" || chat.Restart != "never" || chat.MemoryLimit != 1e9 || chat.Grace != time.Minute {
		t.Errorf("chat %+v", chat)
	}
	if leaf.Engine != "auto" || leaf.Restart != "always" || leaf.MemoryLimit != 64<<20 || leaf.Grace != 5*time.Second {
		t.Errorf("leaf %+v", leaf)
	}
	if eye.Engine != "exec" || len(eye.GoFiles) != 0 || eye.Program != filepath.Join(eye.Dir, "main.py") || eye.Mailbox != "" {
		t.Errorf("eye %+v", eye)
	}
	if got, want := fmt.Sprint(chat.Env), "map[KEY:secret MODEL:large PORT:8080]"; got != want {
		t.Errorf("chat's environment %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(leaf.Env), "map[KEY:secret MODEL:small PORT:8080]"; got != want {
		t.Errorf("leaf's environment %s, want %s", got, want)
	}
}

func TestLoadErrors(t *testing.T) {
	module := "-- chat/chat.go --\npackage chat\nRUN\n"
	for _, c := range []struct {
		name, archive string
		want          []string // parts of the error, one for each Error
	}{
		{"empty", "", []string{"garden: no module here: a module is a folder"}},
		{"only data", "-- data/x.csv --\n1\n", []string{"`coma new <folder>` makes"}},
		{"only helpers", "-- help/x.go --\npackage help\n", []string{"help/x.go:1:1: help: no func Run"}},
		{"two of one name", module + "-- chat.go --\npackage chat\nRUN\n", []string{`two modules are named "chat": chat/ and chat.go; rename one`}},
		{"plus", module + "-- a+b/x.go --\npackage x\nRUN\n", []string{`a+b/: bad name "a+b": it holds "+"`}},
		{"hash file", module + "-- a#b.go --\npackage x\nRUN\n", []string{`a#b.go: bad name "a#b": it holds "#"`}},
		{"dollar", module + "-- $SYS/x.go --\npackage x\nRUN\n", []string{`$SYS/: bad name "$SYS": it begins with $`}},
		{"go.mod", module + "-- go.mod --\ngo 1.26\n", []string{"go.mod:1: has no module line"}},
		{"go.mod line", module + "-- go.mod --\n\nmodule\n", []string{"go.mod:2: want one path"}},
		{"yml", module + "-- coma.yml --\n", []string{"coma.yml: is not read; name it coma.yaml"}},
		{"unknown module", module + "-- coma.yaml --\nmodules:\n  chta: {}\n", []string{`coma.yaml:2:3: no module is named "chta"; did you mean "chat"?`}},
		{"far module", module + "-- coma.yaml --\nmodules:\n  zebra: {}\n", []string{`coma.yaml:2:3: no module is named "zebra"; there are chat`}},
		{"several", module + "-- coma.yaml --\nengin: go\nagent: a/b\n-- chat.go --\npackage chat\nRUN\n",
			[]string{`coma.yaml:1:1: unknown key "engin"; did you mean "engine"?`, `coma.yaml:2:8: bad name "a/b"`, `two modules`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Load(folder(t, c.archive))
			if err == nil || p != nil {
				t.Fatalf("loaded %+v, error %v", p, err)
			}
			checkErrors(t, err, c.want)
		})
	}
}

// checkErrors wants err to be as many *Error as there are parts, each holding its part.
func checkErrors(t *testing.T, err error, parts []string) {
	t.Helper()
	all := flatten(err)
	if len(all) != len(parts) {
		t.Fatalf("%d errors, want %d:\n%v", len(all), len(parts), err)
	}
	for i, part := range parts {
		var e *Error
		if !errors.As(all[i], &e) {
			t.Errorf("%v is no *Error", all[i])
		}
		if !strings.Contains(all[i].Error(), part) {
			t.Errorf("error\n\t%v\nwant it to hold\n\t%s", all[i], part)
		}
	}
}

func flatten(err error) (all []error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			all = append(all, flatten(err)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func TestLoadWantsAFolder(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(filepath.Join(dir, "nowhere"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no such folder") {
		t.Errorf("missing folder: %v", err)
	}
	file := filepath.Join(dir, "chat.go")
	must(t, os.WriteFile(file, nil, 0o644))
	_, err = Load(file)
	checkErrors(t, err, []string{"give the project's folder"})
}

func TestLoadNamesTheAgentAfterTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a+b")
	unpack(t, dir, "-- chat/chat.go --\npackage chat\nRUN\n")
	_, err := Load(dir)
	checkErrors(t, err, []string{"name the agent in coma.yaml"})
	unpack(t, dir, "-- coma.yaml --\nagent: ab\n")
	if p := load(t, dir); p.Agent != "ab" {
		t.Errorf("agent %q", p.Agent)
	}
}

func TestLoadFollowsLinksOnce(t *testing.T) {
	dir := folder(t, "-- real/real.go --\npackage real\nRUN\n-- ../elsewhere/prompt.txt --\nhello\n-- ../elsewhere/deep/x.txt --\nx\n")
	link := func(target, name string) { t.Helper(); must(t, os.Symlink(target, filepath.Join(dir, name))) }
	link("real", "alias")
	link(".", "self")
	link("..", "above")
	link("../../elsewhere", "real/data")
	link("..", "real/up")
	link("../../elsewhere", "../elsewhere/deep/again")
	link("nowhere", "real/dangling")
	p := load(t, dir)
	if got := names(p); !slices.Equal(got, []string{"alias", "real"}) {
		t.Errorf("modules %q", got)
	}
	if len(p.Problems) > 0 {
		t.Errorf("problems %q", problems(p))
	}
	before := p.Module("real").Fingerprint
	must(t, os.WriteFile(filepath.Join(dir, "../elsewhere/deep/x.txt"), []byte("y"), 0o644))
	if p := load(t, dir); p.Module("real").Fingerprint == before {
		t.Error("a change behind a link does not show")
	}
}

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"chat": true, "user_input": true, "memory-2": true, "küche": true, "台所": true, "a b": true, "a$": true, strings.Repeat("a", 128): true,
		"...": true, ".": false, "..": false,
		"": false, "a+b": false, "#": false, "a/b": false, "$a": false, " a": false, "a\n": false, "a\tb": false, "a\x00b": false, "\u00a0a": false,
		"a\xff": false, "a\x7f": false, "\u0085": false, strings.Repeat("a", 129): false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}
