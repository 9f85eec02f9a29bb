package project

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoadFindsPrograms(t *testing.T) {
	dir := folder(t, `
-- chat.py --
import words, os
from pack.inner import x
-- words.py --
import more
-- more.py --
X = 1
-- tool.py --
import chat
if __name__ == "__main__":
    pass
-- guarded.py --
import tool
-- pack/__init__.py --
from . import near
from .deep.deeper import (
    y,
)
-- pack/inner.py --
-- pack/near.py --
-- pack/unused.py --
-- pack/deep/deeper/y.py --
from ... import far
from ...pack2 import z
-- pack/far/__init__.py --
-- this.py --
import that
-- that.py --
import this
-- test_chat.py --
-- conftest.py --
-- setup.py --
-- _draft.py --
-- __init__.py --
-- eye.mjs --
import { a } from "./lib/a.mjs";
const b = require('./b');
-- lib/a.mjs --
export const a = 1;
-- b.js --
-- old.cjs --
-- vite.config.js --
-- leg.sh --
. ./functions.sh
-- functions.sh --
-- ear/main.py --
import part
-- ear/part.py --
-- ear/unused.py --
-- ear/.venv/x.py --
-- nose/main.js --
-- hand/main.sh --
-- go/go.go --
package go_
RUN
-- go/main.py --
-- tools/tools.go --
package main
-- tools/main.sh --
-- data.json --
{}
-- README.md --
# Garden
-- runner --
#!/usr/bin/python3
import run_words
-- run_words.py --
-- text --
only text
-- lib.so --
#!/bin/sh
-- garden --
#!/bin/sh
-- mouth/main --
#!/bin/sh
-- myenv/pyvenv.cfg --
-- myenv/main.py --
`)
	for _, name := range []string{"runner", "text", "lib.so", "garden", "README.md", "data.json", "mouth/main"} {
		must(t, os.Chmod(filepath.Join(dir, name), 0o755))
	}
	p := load(t, dir)
	// chat is imported by tool, and does not say that it is a program itself.
	want := map[string]string{
		"tool": "tool.py python", "guarded": "guarded.py python", "eye": "eye.mjs node", "old": "old.cjs node", "leg": "leg.sh shell",
		"this": "this.py python", "that": "that.py python",
		"ear": "ear/main.py python", "nose": "nose/main.js node", "hand": "hand/main.sh shell", "go": "", "tools": "tools/main.sh shell",
		"runner": "runner binary", "mouth": "mouth/main binary",
	}
	for _, m := range p.Modules {
		got := ""
		if m.Exec != nil {
			rel, err := filepath.Rel(p.Dir, m.Program)
			must(t, err)
			got = rel + " " + string(m.Exec.Kind)
			if m.Engine != "exec" || m.Isolation != "process" || m.Mailbox != "" {
				t.Errorf("%s: %+v", m.Name, m)
			}
		}
		if expected, ok := want[m.Name]; !ok || got != expected {
			t.Errorf("module %s is %q, want %q", m.Name, got, expected)
		}
		delete(want, m.Name)
	}
	for name := range want {
		t.Errorf("%s is no module", name)
	}
	if got, want := problems(p), []string{`garden: garden: it has the agent's name, as what coma build makes, and is not taken for a module; name it under modules: in coma.yaml if it is one`}; !slices.Equal(got, want) {
		t.Errorf("problems %q, want %q", got, want)
	}
	tool := p.Module("tool")
	var sources []string
	for _, file := range tool.Exec.Sources {
		sources = append(sources, strings.TrimPrefix(file, p.Dir+"/"))
	}
	if want := []string{"tool.py", "chat.py", "words.py", "more.py", "pack/__init__.py", "pack/near.py", "pack/deep/deeper/y.py", "pack/far/__init__.py", "pack/inner.py"}; !slices.Equal(sources, want) {
		t.Errorf("tool reads %q, want %q", sources, want)
	}
}

func TestLoadFindsModulesOfTheFramework(t *testing.T) {
	p := load(t, folder(t, `
-- mod1.py --
"""
@coma.module_main("not this")
"""
import time
import concurrent_modular_agent as coma

@coma.module_main('userinput')
def main(agent):
    pass
-- mod2.py --
from concurrent_modular_agent import (
    module_main as main,  # ours
    Agent)
import helper

@main(
    module_name="chat")
def run(agent): pass
-- mod3.py --
from concurrent_modular_agent import *
NAME = "x"
@module_main(NAME)
def run(agent): pass
-- helper.py --
-- script.py --
from concurrent_modular_agent import Agent
Agent("x").start()
-- other.sh --
-- moved.py --
import coma
agent = coma.connect()
`))
	if want := []string{"chat", "mod3", "moved", "other", "userinput"}; !slices.Equal(names(p), want) {
		t.Fatalf("modules %q, want %q", names(p), want)
	}
	for _, m := range p.Modules {
		if m.MemoryLimit != map[bool]int64{false: DefaultMemoryLimit, true: 2 << 30}[m.Exec.Framework] {
			t.Errorf("%s may use %d bytes", m.Name, m.MemoryLimit)
		}
		if framework := m.Name != "other" && m.Name != "moved"; m.Exec.Framework != framework || (m.Mailbox == "mqtt") != framework {
			t.Errorf("%s: %+v, mailbox %q", m.Name, m.Exec, m.Mailbox)
		}
	}
	if got, want := problems(p), []string{"script.py: script.py: no function is marked with @module_main, it does not import coma, and no module imports it"}; !slices.Equal(got, want) {
		t.Errorf("problems %q, want %q", got, want)
	}
}

func TestLoadConfiguresPrograms(t *testing.T) {
	p := load(t, folder(t, `
-- coma.yaml --
engine: go
isolation: none
modules:
  eye: {command: [python3, -X, dev, main.py], mailbox: mqtt}
  any: {command: deno}
  ts: {command: [npx, tsx, main.ts]}
  words: {memory: 1GiB}
  test_it: {}
  soil: {mailbox: mqtt}
-- eye/main.py --
-- any/thing.ts --
-- ts/main.ts --
import "./part.ts"
-- ts/part.ts --
-- words.py --
-- chat.py --
import words
-- test_it.py --
-- soil/soil.go --
package soil
RUN
`))
	if want := []string{"any", "chat", "eye", "soil", "test_it", "ts", "words"}; !slices.Equal(names(p), want) {
		t.Fatalf("modules %q, want %q", names(p), want)
	}
	eye, thing, soil := p.Module("eye"), p.Module("any"), p.Module("soil")
	if !slices.Equal(eye.Exec.Command, []string{"python3", "-X", "dev", "main.py"}) || eye.Mailbox != "mqtt" || eye.Engine != "exec" || eye.Isolation != "process" {
		t.Errorf("eye %+v %+v", eye, eye.Exec)
	}
	if !slices.Equal(thing.Exec.Command, []string{"deno"}) || thing.Program != "" || len(thing.Exec.Sources) != 0 || thing.Exec.Dir != thing.Dir {
		t.Errorf("any %+v %+v", thing, thing.Exec)
	}
	if ts := p.Module("ts"); ts.Program != filepath.Join(ts.Dir, "main.ts") || len(ts.Exec.Sources) != 2 {
		t.Errorf("ts %+v %+v", ts, ts.Exec)
	}
	if soil.Exec != nil || soil.Mailbox != "mqtt" || soil.Engine != "go" || soil.Isolation != "none" {
		t.Errorf("soil %+v", soil)
	}
}

func TestLoadRefusesWhatDoesNotGoTogether(t *testing.T) {
	for _, c := range []struct {
		name, archive string
		want          string
	}{
		{"exec of nothing", "-- coma.yaml --\nmodules:\n  eye: {engine: exec}\n-- eye/eye.py --\n", "coma.yaml:2:3: module eye: engine exec starts a main.py, main.js, main.mjs, main.cjs, main.sh or an executable main, and the folder has none; or say what is started: command: […]"},
		{"exec of Go", "-- coma.yaml --\nmodules:\n  eye: {engine: exec}\n-- eye.go --\npackage eye\nRUN\n", "coma.yaml:2:3: module eye: engine exec starts programs, and this is eye.go, in Go; remove engine: exec"},
		{"a command for Go", "-- coma.yaml --\nmodules:\n  eye: {command: ls}\n-- eye.go --\npackage eye\nRUN\n", "coma.yaml:2:3: module eye: command is for programs, and this is eye.go, in Go"},
		{"Go's engine", "-- coma.yaml --\nmodules:\n  eye: {engine: yaegi}\n-- eye.py --\n", "coma.yaml:2:3: module eye: engine yaegi is for Go, and this is eye.py; remove engine: yaegi"},
		{"isolation", "-- coma.yaml --\nmodules:\n  eye: {isolation: none}\n-- eye.py --\n", "coma.yaml:2:3: module eye: isolation none is for Go, and a program is a process of its own; remove isolation: none"},
		{"two with one name", "-- eye.py --\n-- eye.js --\n", `eye.py: two modules are named "eye": eye.js and eye.py; rename one`},
		{"a folder and a file", "-- eye.py --\n-- eye/eye.go --\npackage eye\nRUN\n", `eye.py: two modules are named "eye": eye/ and eye.py; rename one`},
		{"an empty command", "-- coma.yaml --\nmodules:\n  eye: {command: []}\n-- eye.py --\n", "coma.yaml:2:18: want a command as a list of words, as in [python3, -X, dev, main.py]"},
		{"another mailbox", "-- coma.yaml --\nmodules:\n  eye: {mailbox: mqqt}\n-- eye.py --\n", `coma.yaml:2:18: "mqqt" is none of host, mqtt; did you mean "mqtt"?`},
		{"coma's own variables", "-- coma.yaml --\nenv: {COMA_GENERATION: 3}\n-- eye.py --\n", "coma.yaml:1:7: COMA_GENERATION is set by coma itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(folder(t, c.archive))
			if err == nil || err.Error() != c.want {
				t.Errorf("error\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestLoadOfAFolderThatDoesNotSayWhatStartsIt(t *testing.T) {
	p := load(t, folder(t, "-- eye/main.py --\n-- eye/main.js --\n-- ear.sh --\n"))
	if got, want := problems(p), []string{"eye: eye: main.py and main.js: which one starts the module? Keep one, or say command: […] in coma.yaml"}; !slices.Equal(got, want) {
		t.Errorf("problems %q, want %q", got, want)
	}
}

func TestFingerprintOfPrograms(t *testing.T) {
	source := `
-- chat.py --
import words
-- words.py --
-- alone.py --
-- eye/main.mjs --
import "../lib/x.mjs"
-- eye/prompt.txt --
-- lib/x.mjs --
-- leg.sh --
source functions.sh
-- functions.sh --
`
	for _, c := range []struct {
		name, edit string
		want       []string
	}{
		{"own file", "-- alone.py --\n# more\n", []string{"alone"}},
		{"imported", "-- words.py --\n# more\n", []string{"chat"}},
		{"imported now", "-- words.py --\nimport more\n-- more.py --\n", []string{"chat"}},
		{"imported from a folder beside", "-- lib/x.mjs --\n// more\n", []string{"eye"}},
		{"data of its folder", "-- eye/prompt.txt --\nmore\n", []string{"eye"}},
		{"read by a shell", "-- functions.sh --\n# more\n", []string{"leg"}},
		{"what interpreters leave", "-- eye/__pycache__/x.pyc --\nx\n-- eye/x.pyc --\nx\n-- eye/node_modules/x.js --\nx\n-- eye/.venv/x.py --\nx\n-- eye/venv/x.py --\nx\n-- eye/env/pyvenv.cfg --\n-- eye/env/lib/x.py --\nx\n", nil},
		{"Go's settings", "-- go.mod --\nmodule garden\n", nil},
		{"command", "-- coma.yaml --\nmodules: {alone: {command: [python3, alone.py]}}\n", []string{"alone"}},
		{"mailbox", "-- coma.yaml --\nmodules: {alone: {mailbox: mqtt}}\n", []string{"alone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, source)
			before := load(t, dir)
			if want := []string{"alone", "chat", "eye", "leg"}; !slices.Equal(names(before), want) {
				t.Fatalf("modules %q", names(before))
			}
			unpack(t, dir, c.edit)
			if got := changed(before, load(t, dir)); !slices.Equal(got, c.want) {
				t.Errorf("changed %q, want %q", got, c.want)
			}
		})
	}
}
