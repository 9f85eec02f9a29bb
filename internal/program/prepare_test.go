package program

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// project writes files (path: text) into a new folder and returns it. Those that begin with #! are executable.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// said is an interpreter that finds nothing wrong.
const said = "#!/bin/sh\necho '{}'\n"

func nothing(string, bool) bool { return false }

func TestPrepare(t *testing.T) {
	tests := []struct {
		name    string
		files   map[string]string // besides bin/, which is the PATH
		main    string
		command []string          // coma.yaml's
		env     map[string]string // {dir} is the project
		want    string            // the command; {dir} is the project
		wantEnv []string          // among others
		err     string
	}{
		{name: "python of PATH", files: map[string]string{"eye.py": "", "bin/python3": said, "bin/python": said}, main: "eye.py", want: "{dir}/bin/python3 -u {dir}/eye.py", wantEnv: []string{"PYTHONUNBUFFERED=1", "PATH={dir}/bin"}},
		{
			name: "python behind a version manager", files: map[string]string{"eye.py": "", "shims/python3": "#!/bin/sh\necho \"{\\\"interpreter\\\": \\\"$VERSION\\\"}\"\n", "3/python": said},
			env: map[string]string{"PATH": "{dir}/shims", "VERSION": "{dir}/3/python"}, main: "eye.py", want: "{dir}/3/python -u {dir}/eye.py",
		},
		{name: "a check that is killed", files: map[string]string{"eye.py": "", "bin/python3": "#!/bin/sh\nkill -9 $$\n"}, main: "eye.py", want: "{dir}/bin/python3 -u {dir}/eye.py"},
		{name: "a check that is killed, of a shell", files: map[string]string{"eye.sh": "", "bin/bash": "#!/bin/sh\nkill -9 $$\n"}, main: "eye.sh", want: "{dir}/bin/bash {dir}/eye.sh"},
		{name: "only python", files: map[string]string{"eye.py": "", "bin/python": said}, main: "eye.py", want: "{dir}/bin/python -u {dir}/eye.py"},
		{
			name:  "the environment that is active",
			files: map[string]string{"eye.py": "", "bin/python3": said, "active/bin/python": said}, env: map[string]string{"VIRTUAL_ENV": "{dir}/active"},
			main: "eye.py", want: "{dir}/active/bin/python -u {dir}/eye.py",
		},
		{
			name:  "the project's environment",
			files: map[string]string{"eye/main.py": "", "active/bin/python": said, "venv/pyvenv.cfg": "", "venv/bin/python": said}, env: map[string]string{"VIRTUAL_ENV": "{dir}/active"},
			main: "eye/main.py", want: "{dir}/venv/bin/python -u {dir}/eye/main.py", wantEnv: []string{"VIRTUAL_ENV={dir}/venv", "PATH={dir}/venv/bin:{dir}/bin"},
		},
		{
			name:  "the module's environment",
			files: map[string]string{"eye/main.py": "", "eye/.venv/pyvenv.cfg": "", "eye/.venv/bin/python": said, "venv/pyvenv.cfg": "", "venv/bin/python": said},
			main:  "eye/main.py", want: "{dir}/eye/.venv/bin/python -u {dir}/eye/main.py",
		},
		{name: "a broken environment", files: map[string]string{"eye.py": "", "bin/python3": said, ".venv/pyvenv.cfg": ""}, main: "eye.py", err: "eye.py: .venv has no bin/python that works: make it anew (python3 -m venv .venv)"},
		{
			name:  "a module of the framework",
			files: map[string]string{"eye.py": "import concurrent_modular_agent as c\n@c.module_main('x')\n", "bin/python3": said}, main: "eye.py",
			want: "{dir}/bin/python3 -u -c <bootstrap> {dir}/eye.py",
		},
		{name: "coma's own library", files: map[string]string{"eye.py": "import coma", "bin/python3": said}, env: map[string]string{"PYTHONPATH": "/x"}, main: "eye.py", want: "{dir}/bin/python3 -u {dir}/eye.py", wantEnv: []string{"PYTHONPATH=/x:<client>"}},
		{name: "node", files: map[string]string{"eye.js": "", "bin/node": said}, main: "eye.js", want: "{dir}/bin/node --max-old-space-size=384 {dir}/eye.js"},
		{
			name: "coma's own library for node", files: map[string]string{"eye.mjs": "import { connect } from 'coma'", "bin/node": said}, main: "eye.mjs",
			want: "{dir}/bin/node --max-old-space-size=384 --import file://<client>/node_modules/coma/register.js {dir}/eye.mjs", wantEnv: []string{"NODE_PATH=<client>/node_modules"},
		},
		{
			name: "coma's own library for another command", files: map[string]string{"eye.mjs": "import { connect } from 'coma'", "bin/node": said}, main: "eye.mjs", command: []string{"node", "--inspect", "eye.mjs"},
			want: "{dir}/bin/node --inspect eye.mjs", wantEnv: []string{"NODE_OPTIONS=--import=file://<client>/node_modules/coma/register.js"},
		},
		{
			name: "an executable in Python", files: map[string]string{"eye": "#!/usr/bin/env python3\nimport part\n", "part.py": "import coma", ".venv/pyvenv.cfg": "", ".venv/bin/python": said, ".venv/bin/python3": said}, main: "eye",
			want: "{dir}/eye", wantEnv: []string{"PATH={dir}/.venv/bin:{dir}/bin", "PYTHONPATH=<client>"},
		},
		{
			name: "TypeScript", files: map[string]string{"eye/main.ts": "import { connect } from 'coma'; import './part.js'", "bin/npx": said}, main: "eye/main.ts", command: []string{"npx", "tsx", "main.ts"},
			want: "{dir}/bin/npx tsx main.ts", wantEnv: []string{"NODE_PATH=<client>/node_modules", "NODE_OPTIONS=--import=file://<client>/node_modules/coma/register.js"},
		},
		{name: "bash", files: map[string]string{"eye.sh": "echo on", "bin/bash": said}, main: "eye.sh", want: "{dir}/bin/bash {dir}/eye.sh"},
		{name: "a shell by its #! line", files: map[string]string{"eye.sh": "#!/usr/bin/env -S zsh -e\n", "bin/zsh": said}, main: "eye.sh", want: "{dir}/bin/zsh -e {dir}/eye.sh"},
		{name: "a shell that is not there", files: map[string]string{"eye.sh": "#!/nope/bash\n"}, main: "eye.sh", err: "eye.sh: /nope/bash is not there (its #! line asks for it)"},
		{name: "executable", files: map[string]string{"eye": "#!bin/ruby\n", "bin/ruby": said}, main: "eye", want: "{dir}/eye"},
		{name: "an executable whose interpreter is not there", files: map[string]string{"eye": "#!/nope/ruby\n"}, main: "eye", err: "eye: /nope/ruby is not there (its #! line asks for it)"},
		{name: "an executable whose interpreter is not in PATH", files: map[string]string{"eye": "#!/usr/bin/env nope -x\n"}, main: "eye", err: "eye: nope is not in PATH: install it, or give its whole path (its #! line asks for it)"},
		{name: "an executable that asks env for more", files: map[string]string{"eye": "#!/usr/bin/env -i nope\n"}, main: "eye", want: "{dir}/eye"},
		{name: "another command", files: map[string]string{"eye/main.py": "", "eye/start": said}, main: "eye/main.py", command: []string{"./start", "main.py"}, want: "{dir}/eye/start main.py"},
		{name: "a command that is not there", files: map[string]string{"eye/main.py": ""}, main: "eye/main.py", command: []string{"deno"}, err: "eye/main.py: deno is not in PATH: install it, or give its whole path"},
		{name: "a command that is not executable", files: map[string]string{"eye/main.py": ""}, main: "eye/main.py", command: []string{"./main.py"}, err: "eye/main.py: ./main.py is not executable (chmod +x eye/main.py)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := project(t, test.files)
			cache := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", cache)
			t.Setenv("HOME", cache)
			main := filepath.Join(dir, test.main)
			p := Find(main, test.command, filepath.Dir(main), dir, nothing)
			env := []string{"PATH=" + dir + "/bin"}
			for name, value := range test.env {
				env = append(env, name+"="+strings.ReplaceAll(value, "{dir}", dir))
			}
			ready, err := p.Prepare(t.Context(), env, 512<<20)
			if test.err != "" {
				var load *modproc.LoadError
				if !errors.As(err, &load) || err.Error() != test.err {
					t.Errorf("the error is %v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			clients, err := filepath.Glob(filepath.Join(cache, "*", "clients", "*"))
			if err != nil || len(clients) > 1 {
				t.Fatal(clients, err)
			}
			shown := func(s string) string {
				for _, client := range clients {
					s = strings.ReplaceAll(s, client, "<client>")
				}
				return strings.ReplaceAll(strings.ReplaceAll(s, dir, "{dir}"), bootstrap, "<bootstrap>")
			}
			if got := shown(strings.Join(ready.Command, " ")); got != test.want {
				t.Errorf("the command is\n%s\nwant\n%s", got, test.want)
			}
			for _, want := range test.wantEnv {
				if !slices.ContainsFunc(ready.Env, func(entry string) bool { return shown(entry) == want }) {
					t.Errorf("no %s in %q", want, ready.Env)
				}
			}
		})
	}
}

// All that is wrong in the files of one program is told at once.
func TestPrepareTellsAllThatIsWrong(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	dir := project(t, map[string]string{"eye.py": "import part\nx = (\n", "part.py": "def\n", "unused.py": "def\n"})
	main := filepath.Join(dir, "eye.py")
	p := Find(main, nil, dir, dir, nothing)
	_, err := p.Prepare(t.Context(), os.Environ(), 0)
	var load *modproc.LoadError
	if !errors.As(err, &load) || len(load.Problems) != 2 || load.Problems[0].File != "eye.py" || load.Problems[0].SourceLine != "x = (" || load.Problems[1].File != "part.py" || load.Problems[1].Line != 1 {
		t.Errorf("the error is %v", err)
	}
}

// A module of the Python framework does not load where Python has no framework, rather than dying again and again.
func TestPrepareMissesTheFramework(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	dir := project(t, map[string]string{
		"eye.py": "from concurrent_modular_agent import module_main\n@module_main('eye')\ndef main(agent):\n    pass\n",
		"with/concurrent_modular_agent/__init__.py": "",
	})
	p := Find(filepath.Join(dir, "eye.py"), nil, dir, dir, nothing)
	_, err := p.Prepare(t.Context(), append(os.Environ(), "PYTHONPATH="), 0)
	if want := "eye.py: concurrent_modular_agent is not installed for "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %v, want %s…", err, want)
	}
	if _, err := p.Prepare(t.Context(), append(os.Environ(), "PYTHONPATH="+dir+"/with"), 0); err != nil {
		t.Errorf("with the framework: %v", err)
	}
}

// The reader of imports takes whatever a file holds.
func FuzzImports(f *testing.F) {
	f.Add("import a, b.c as d\nfrom e.f import g # h\n'''\nimport not\n'''\n@x.module_main('y')\n")
	f.Add("from concurrent_modular_agent import (module_main as m,\n x)\n@m(\n'name')\n\"\\")
	f.Add("import x from './y'; require(\"./z\"); source '$HERE/a.sh'\n. b\n'''")
	f.Fuzz(func(t *testing.T, source string) {
		code := pythonCode([]byte(source))
		if len(code) != len(source) || strings.Count(string(code), "\n") != strings.Count(source, "\n") {
			t.Errorf("code %q of %q", code, source)
		}
		for _, name := range slices.Concat(pythonImports([]byte(source)), nodeImports([]byte(source)), shellImports([]byte(source))) {
			if name == "" || !strings.Contains(source, name[strings.LastIndexByte(name, '.')+1:]) {
				t.Errorf("import %q", name)
			}
		}
		if name, is := frameworkName([]byte(source)); !is && name != "" {
			t.Errorf("name %q", name)
		}
	})
}
