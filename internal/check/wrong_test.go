package check

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the .want files of testdata anew: what the compiler says")

// program is one wrong program of testdata/wrong: a file, or the files of a folder.
type program struct {
	name  string
	files []txtar.File
	want  string // what go tool compile says about it
}

// archive is a file of testdata/wrong: the programs of one subject, each with what the compiler says about it.
type archive struct {
	file     string
	text     *txtar.Archive
	programs []*program
}

func archives(t testing.TB) []*archive {
	t.Helper()
	names, err := filepath.Glob("testdata/wrong/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	var all []*archive
	for _, name := range names {
		text, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		a := &archive{file: name, text: text}
		for _, file := range text.Files {
			name := strings.TrimSuffix(strings.TrimSuffix(file.Name, ".go"), ".want")
			if folder := path.Dir(file.Name); folder != "." {
				name = folder
			}
			i := slices.IndexFunc(a.programs, func(p *program) bool { return p.name == name })
			if i < 0 {
				i = len(a.programs)
				a.programs = append(a.programs, &program{name: name})
			}
			if p := a.programs[i]; strings.HasSuffix(file.Name, ".want") {
				p.want = string(file.Data)
			} else {
				p.files = append(p.files, file)
			}
		}
		all = append(all, a)
	}
	return all
}

// TestWords compares what Check says about wrong programs with what the compiler says: lines, columns and words.
func TestWords(t *testing.T) {
	for _, a := range archives(t) {
		for _, p := range a.programs {
			subject := strings.TrimSuffix(filepath.Base(a.file), ".txtar")
			t.Run(subject+"/"+p.name, func(t *testing.T) {
				if got := say(checkProgram(p)); got != p.want {
					t.Errorf("check says\n%s\nthe compiler says\n%s", got, p.want)
				}
			})
		}
	}
}

// TestCompilerSaysSo runs the compiler of the Go in use over the programs: the .want files are its words.
func TestCompilerSaysSo(t *testing.T) {
	config := importConfig(t)
	for _, a := range archives(t) {
		changed := false
		for _, p := range a.programs {
			got := compile(t, config, p)
			switch {
			case got == p.want:
			case *update:
				changed = true
				p.want = got
			default:
				t.Errorf("%s: %s: the compiler says\n%s\nand testdata has\n%s\ngo test -update writes it anew", a.file, p.name, got, p.want)
			}
		}
		if changed {
			a.write(t)
		}
	}
}

// write writes an archive with what the compiler says behind each program.
func (a *archive) write(t *testing.T) {
	t.Helper()
	out := &txtar.Archive{Comment: a.text.Comment}
	for _, p := range a.programs {
		out.Files = append(out.Files, p.files...)
		out.Files = append(out.Files, txtar.File{Name: p.name + ".want", Data: []byte(p.want)})
	}
	if err := os.WriteFile(a.file, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checkProgram is what Check says about a program; a file that does not parse has its own errors.
func checkProgram(p *program) (*token.FileSet, []Error) {
	fset, pkg, wrong := parsed(p)
	if len(wrong) == 0 {
		_, wrong = Check(fset, []Package{pkg})
	}
	return fset, wrong
}

// parsed is a program as Check takes it, or what is wrong with its syntax.
func parsed(p *program) (*token.FileSet, Package, []Error) {
	fset := token.NewFileSet()
	pkg := Package{Path: "p"}
	var wrong []Error
	for _, file := range p.files {
		file, errors := Parse(fset, file.Name, file.Data)
		wrong = append(wrong, errors...)
		if file != nil {
			pkg.Files = append(pkg.Files, file)
			pkg.Name = file.Name.Name
		}
	}
	return fset, pkg, wrong
}

// say writes errors as the compiler does, without what check adds of its own.
func say(fset *token.FileSet, wrong []Error) string {
	var out strings.Builder
	for _, e := range wrong {
		message, _, _ := strings.Cut(e.Message, "; did you mean ")
		fmt.Fprintf(&out, "%s: %s\n", fset.PositionFor(e.Pos, false), message)
	}
	return out.String()
}

// importConfig tells the compiler where the compiled packages are that testdata imports.
var importConfig = func() func(t *testing.T) string {
	list := sync.OnceValues(func() (string, error) {
		out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}",
			"bytes", "cmp", "container/heap", "context", "embed", "encoding/json", "log", "maps", "net/http", "slices", "time").Output()
		return string(out), err
	})
	return func(t *testing.T) string {
		t.Helper()
		if _, err := exec.LookPath("go"); err != nil {
			t.Skip("no Go toolchain to compare with")
		}
		text, err := list()
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "importcfg")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
}()

// compile is what the compiler says about a program.
func compile(t *testing.T, config string, p *program) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"tool", "compile", "-e", "-p", "p", "-complete", "-lang", GoVersion(), "-importcfg", config, "-o", filepath.Join(dir, "p.o")}
	for _, file := range p.files {
		name := filepath.Join(dir, file.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file.Data, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file.Name)
	}
	command := exec.Command("go", args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	out = bytes.ReplaceAll(out, []byte(dir+string(filepath.Separator)), nil)
	return string(out)
}
