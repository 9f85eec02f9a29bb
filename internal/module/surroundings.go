package module

import (
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"reflect"

	"github.com/concurrent-modular-agent/coma/internal/interp"
)

// surroundings stand between interpreted code and the process that it runs in.
type surroundings struct {
	// exit is what os.Exit and log.Fatal come to; by names the function, frames say where it was called. It must not
	// return.
	exit func(code int, by string, frames []interp.Frame)
	// stdout and stderr replace the process's own where it is shared with other modules; nil where it is not.
	stdout, stderr *stream
	stdin          *os.File
	// env replaces the environment where the process is shared; nil where it is not.
	env *environment

	replaced map[string]map[string]reflect.Value // by import path and name; made when first asked for
	std      *log.Logger                         // what package log's functions write to
}

// shared tells whether other modules live in the same process.
func (s *surroundings) shared() bool { return s.env != nil }

// symbol gives interpreted code something else than the process's own.
func (s *surroundings) symbol(path, name string) (reflect.Value, bool) {
	if !s.shared() {
		return reflect.Value{}, false
	}
	if s.replaced == nil {
		s.replace()
	}
	v, ok := s.replaced[path][name]
	return v, ok
}

// method replaces methods; there are none that would have to be, besides the traced ones.
func (s *surroundings) method(string) (reflect.Value, bool) { return reflect.Value{}, false }

// traced are the functions that end the program, told where they are called from.
func (s *surroundings) traced() map[string]interp.Traced {
	fatal := func(by string, print func(in []reflect.Value)) interp.Traced {
		return func(frames []interp.Frame, in []reflect.Value) []reflect.Value {
			print(in)
			s.exit(1, by, frames)
			return nil
		}
	}
	logger := func(in []reflect.Value) (*log.Logger, []reflect.Value) {
		return in[0].Interface().(*log.Logger), in[1:]
	}
	standard := func(in []reflect.Value) (*log.Logger, []reflect.Value) { return s.logger(), in }
	traced := map[string]interp.Traced{
		"os.Exit": func(frames []interp.Frame, in []reflect.Value) []reflect.Value {
			s.exit(int(in[0].Int()), "os.Exit", frames)
			return nil
		},
	}
	for prefix, of := range map[string]func([]reflect.Value) (*log.Logger, []reflect.Value){"log.": standard, "(*log.Logger).": logger} {
		traced[prefix+"Fatal"] = fatal("log.Fatal", func(in []reflect.Value) {
			l, in := of(in)
			l.Print(in[0].Interface().([]any)...)
		})
		traced[prefix+"Fatalln"] = fatal("log.Fatalln", func(in []reflect.Value) {
			l, in := of(in)
			l.Println(in[0].Interface().([]any)...)
		})
		traced[prefix+"Fatalf"] = fatal("log.Fatalf", func(in []reflect.Value) {
			l, in := of(in)
			l.Printf(in[0].String(), in[1].Interface().([]any)...)
		})
	}
	return traced
}

func (s *surroundings) logger() *log.Logger {
	if !s.shared() {
		return log.Default()
	}
	if s.replaced == nil {
		s.replace()
	}
	return s.std
}

// replace fills in what would act on a whole process that other modules share.
func (s *surroundings) replace() {
	s.replaced = map[string]map[string]reflect.Value{}
	set := func(path string, values map[string]any) {
		if s.replaced[path] == nil {
			s.replaced[path] = map[string]reflect.Value{}
		}
		for name, value := range values {
			s.replaced[path][name] = reflect.ValueOf(value)
		}
	}
	variable := func(path, name string, pointer any) {
		set(path, nil)
		s.replaced[path][name] = reflect.ValueOf(pointer).Elem()
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
	s.replaceLog(set)
	flags := flag.NewFlagSet("module", flag.PanicOnError)
	flags.SetOutput(s.stderr)
	variable("flag", "CommandLine", &flags)
}

// replaceLog gives packages log and slog a default logger of the module's own.
func (s *surroundings) replaceLog(set func(string, map[string]any)) {
	std := log.New(s.stderr, "", log.LstdFlags)
	s.std = std
	set("log", map[string]any{
		"Default": func() *log.Logger { return std },
		"Flags":   std.Flags, "SetFlags": std.SetFlags, "Prefix": std.Prefix, "SetPrefix": std.SetPrefix,
		"Writer": std.Writer, "SetOutput": std.SetOutput, "Output": std.Output,
		"Print": std.Print, "Printf": std.Printf, "Println": std.Println,
		"Panic": std.Panic, "Panicf": std.Panicf, "Panicln": std.Panicln,
		"Fatal": std.Fatal, "Fatalf": std.Fatalf, "Fatalln": std.Fatalln, // called by name, they are traced
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
