package module

import (
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"path"
	"reflect"
	"strings"

	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"
	"github.com/traefik/yaegi/stdlib/generic"
	stdsyscall "github.com/traefik/yaegi/stdlib/syscall"
	"github.com/traefik/yaegi/stdlib/unrestricted"
	stdunsafe "github.com/traefik/yaegi/stdlib/unsafe"

	"github.com/concurrent-modular-agent/coma/internal/module/symbols"
)

// surroundings stand between interpreted code and the process that it runs in.
type surroundings struct {
	// exit is what os.Exit and log.Fatal come to; by names the function. It must not return.
	exit func(code int, by string)
	// stdout and stderr replace the process's own where it is shared with other modules; nil where it is not.
	stdout, stderr *stream
	stdin          *os.File
	// env replaces the environment where the process is shared; nil where it is not.
	env *environment
}

// shared tells whether other modules live in the same process.
func (s *surroundings) shared() bool { return s.env != nil }

// sources are the tables of names that interpreted code may use, in the order that they override each other.
func sources() []map[string]map[string]reflect.Value {
	return []map[string]map[string]reflect.Value{
		stdlib.Symbols, stdsyscall.Symbols, stdunsafe.Symbols, unrestricted.Symbols, symbols.Symbols,
	}
}

// generics are packages that yaegi interprets from their source, with what they need themselves.
var generics = map[string][]string{"cmp": {"cmp"}, "maps": {"maps"}, "slices": {"cmp", "slices"}}

// available tells whether interpreted code can import a package of the host.
func available(importPath string) bool {
	if strings.HasPrefix(importPath, "github.com/traefik/yaegi") {
		return false // the tables hold the interpreter itself
	}
	if generics[importPath] != nil {
		return true
	}
	key := importPath + "/" + path.Base(importPath)
	for _, table := range sources() {
		if table[key] != nil || table[versioned(importPath)] != nil {
			return true
		}
	}
	return false
}

// versioned is the table's key for paths like math/rand/v2, whose package is not named after the last part.
func versioned(importPath string) string {
	return importPath + "/" + path.Base(path.Dir(importPath))
}

// exports are the symbols of the imported packages alone: handing over all 156 of the standard library would double the
// time to load a module. A package goes by path//name rather than path/name, which means the same to yaegi but keeps it
// from compiling its slices, maps and cmp for every module that imports fmt.
func exports(imports map[string]bool, around *surroundings) interp.Exports {
	out := interp.Exports{".": stdlib.Symbols["."]}
	for importPath := range imports {
		for _, key := range []string{importPath + "/" + path.Base(importPath), versioned(importPath)} {
			for _, table := range sources() {
				if names := table[key]; names != nil {
					into := importPath + "//" + path.Base(key)
					if out[into] == nil {
						out[into] = map[string]reflect.Value{}
					}
					maps.Copy(out[into], names)
				}
			}
		}
	}
	around.override(out)
	return out
}

// genericSources are the sources that have to be interpreted before those imports work.
func genericSources(imports map[string]bool) []string {
	needed := map[string]bool{}
	for importPath := range imports {
		for _, name := range generics[importPath] {
			needed[name] = true
		}
	}
	var sources []string
	for _, source := range generic.Sources { // in the order that they need each other
		if name, _, _ := strings.Cut(packageClause(source), "\n"); needed[strings.TrimSpace(name)] {
			sources = append(sources, source)
		}
	}
	return sources
}

// packageClause is what follows the word package in a source.
func packageClause(source string) string {
	_, rest, _ := strings.Cut("\n"+source, "\npackage ")
	return rest
}

// override replaces what would act on the whole process.
func (s *surroundings) override(out interp.Exports) {
	set := func(importPath string, values map[string]any) {
		if names := out[importPath+"//"+path.Base(importPath)]; names != nil {
			for name, value := range values {
				names[name] = reflect.ValueOf(value)
			}
		}
	}
	variable := func(importPath, name string, pointer any) {
		if names := out[importPath+"//"+path.Base(importPath)]; names != nil {
			names[name] = reflect.ValueOf(pointer).Elem()
		}
	}

	set("os", map[string]any{"Exit": func(code int) { s.exit(code, "os.Exit") }})
	if !s.shared() {
		// yaegi's log has no Fatal and a Logger of its own; a process of its own can have the real ones.
		set("log", map[string]any{"New": log.New, "Logger": (*log.Logger)(nil), "Default": log.Default})
		set("log", s.fatals(log.Default()))
		return
	}

	set("os", s.env.functions())
	variable("os", "Stdout", &s.stdout.file)
	variable("os", "Stderr", &s.stderr.file)
	variable("os", "Stdin", &s.stdin)
	set("fmt", map[string]any{
		"Print":   func(a ...any) (int, error) { return fmt.Fprint(s.stdout, a...) },
		"Printf":  func(f string, a ...any) (int, error) { return fmt.Fprintf(s.stdout, f, a...) },
		"Println": func(a ...any) (int, error) { return fmt.Fprintln(s.stdout, a...) },
		"Scan":    func(...any) (int, error) { return 0, io.EOF },
		"Scanf":   func(string, ...any) (int, error) { return 0, io.EOF },
		"Scanln":  func(...any) (int, error) { return 0, io.EOF },
	})
	s.overrideLog(set)
	flags := flag.NewFlagSet("module", flag.PanicOnError)
	flags.SetOutput(s.stderr)
	variable("flag", "CommandLine", &flags)
}

// logger is log.Logger for a module that shares its process: Fatal ends the module alone.
type logger struct {
	*log.Logger
	exit func(code int, by string)
}

func (l *logger) Fatal(v ...any)            { l.Print(v...); l.exit(1, "log.Fatal") }
func (l *logger) Fatalf(f string, v ...any) { l.Printf(f, v...); l.exit(1, "log.Fatalf") }
func (l *logger) Fatalln(v ...any)          { l.Println(v...); l.exit(1, "log.Fatalln") }

// fatals are log.Fatal and its kin, writing to l.
func (s *surroundings) fatals(l *log.Logger) map[string]any {
	fatal := &logger{l, s.exit}
	return map[string]any{"Fatal": fatal.Fatal, "Fatalf": fatal.Fatalf, "Fatalln": fatal.Fatalln}
}

// overrideLog gives packages log and slog a default logger of the module's own.
func (s *surroundings) overrideLog(set func(string, map[string]any)) {
	std := log.New(s.stderr, "", log.LstdFlags)
	set("log", s.fatals(std))
	set("log", map[string]any{
		"New": func(out io.Writer, prefix string, flags int) *logger {
			return &logger{log.New(out, prefix, flags), s.exit}
		},
		"Default": func() *logger { return &logger{std, s.exit} },
		"Logger":  (*logger)(nil),
		"Flags":   std.Flags, "SetFlags": std.SetFlags, "Prefix": std.Prefix, "SetPrefix": std.SetPrefix,
		"Writer": std.Writer, "SetOutput": std.SetOutput, "Output": std.Output,
		"Print": std.Print, "Printf": std.Printf, "Println": std.Println,
		"Panic": std.Panic, "Panicf": std.Panicf, "Panicln": std.Panicln,
	})

	structured := slog.New(slog.NewTextHandler(s.stderr, nil))
	set("log/slog", map[string]any{
		"Default": func() *slog.Logger { return structured },
		"SetDefault": func(l *slog.Logger) {
			*structured = *l // the functions below are bound to structured
		},
		"Debug": structured.Debug, "DebugContext": structured.DebugContext,
		"Info": structured.Info, "InfoContext": structured.InfoContext,
		"Warn": structured.Warn, "WarnContext": structured.WarnContext,
		"Error": structured.Error, "ErrorContext": structured.ErrorContext,
		"Log": structured.Log, "LogAttrs": structured.LogAttrs, "With": structured.With,
	})
}

// usesFiles tells whether the code may name os.Stdin, os.Stdout or os.Stderr, which have to be real files then.
func usesFiles(c *code) bool {
	for _, f := range c.files {
		if strings.Contains(string(f.data), "os.Std") {
			return true
		}
	}
	return false
}

// spawns tells whether the code could start processes, with os/exec, syscall or os.StartProcess.
func (c *code) spawns() bool {
	if c.imports["os/exec"] || c.imports["syscall"] {
		return true
	}
	for _, f := range c.files {
		if strings.Contains(string(f.data), "StartProcess") {
			return true
		}
	}
	return false
}
