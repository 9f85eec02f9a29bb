package module

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"

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
	dir            string // of the project
	// env replaces the environment where the process is shared; nil where it is not.
	env *environment

	replaced map[string]map[string]reflect.Value // by import path and name; made when first asked for
	std      *log.Logger                         // what package log's functions write to
	logging  sync.Mutex                          // held while a line with its caller is written
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

// traced are the functions that end the program, and those of package log, which may name their caller: they are told
// where they are called from.
func (s *surroundings) traced() map[string]interp.Traced {
	traced := map[string]interp.Traced{
		"os.Exit": func(frames []interp.Frame, in []reflect.Value) []reflect.Value {
			s.exit(int(in[0].Int()), "os.Exit", frames)
			return nil
		},
	}
	texts := map[string]func(in []reflect.Value) string{
		"":   func(in []reflect.Value) string { return fmt.Sprint(in[0].Interface().([]any)...) },
		"f":  func(in []reflect.Value) string { return fmt.Sprintf(in[0].String(), in[1].Interface().([]any)...) },
		"ln": func(in []reflect.Value) string { return fmt.Sprintln(in[0].Interface().([]any)...) },
	}
	for suffix, text := range texts {
		for name, end := range map[string]func(frames []interp.Frame, name, text string){
			"Print": func([]interp.Frame, string, string) {},
			"Panic": func(_ []interp.Frame, _, text string) { panic(text) },
			"Fatal": func(frames []interp.Frame, name, _ string) { s.exit(1, "log."+name, frames) },
		} {
			name += suffix
			traced["log."+name] = func(frames []interp.Frame, in []reflect.Value) []reflect.Value {
				line := text(in)
				s.log(s.logger(), frames, line)
				end(frames, name, line)
				return nil
			}
			traced["(*log.Logger)."+name] = func(frames []interp.Frame, in []reflect.Value) []reflect.Value {
				line := text(in[1:])
				s.log(in[0].Interface().(*log.Logger), frames, line)
				end(frames, name, line)
				return nil
			}
		}
	}
	output := func(l *log.Logger, frames []interp.Frame, in []reflect.Value) []reflect.Value {
		depth := min(max(int(in[0].Int())-1, 0), len(frames))
		err := s.log(l, frames[depth:], in[1].String())
		return []reflect.Value{reflect.ValueOf(&err).Elem()}
	}
	traced["log.Output"] = func(frames []interp.Frame, in []reflect.Value) []reflect.Value { return output(s.logger(), frames, in) }
	traced["(*log.Logger).Output"] = func(frames []interp.Frame, in []reflect.Value) []reflect.Value {
		return output(in[0].Interface().(*log.Logger), frames, in[1:])
	}
	return traced
}

// log writes a line as l does, with the interpreted caller where its flags ask for one: package log itself would see the
// interpreter.
func (s *surroundings) log(l *log.Logger, frames []interp.Frame, text string) error {
	const caller = log.Lshortfile | log.Llongfile
	flags := l.Flags()
	if flags&caller == 0 || l.Writer() == io.Discard {
		return l.Output(0, text)
	}
	file, line := "???", 0
	if len(frames) > 0 {
		file, line = frames[0].Position.Filename, frames[0].Position.Line
		if !filepath.IsAbs(file) {
			file = filepath.Join(s.dir, filepath.FromSlash(file))
		}
	}
	if flags&log.Lshortfile != 0 {
		file = filepath.Base(file)
	}
	before, after := l.Prefix(), ""
	if flags&log.Lmsgprefix != 0 {
		before, after = after, before
	}
	var header bytes.Buffer // the date and time
	if err := log.New(&header, before, flags&^(caller|log.Lmsgprefix)).Output(0, ""); err != nil {
		return err
	}
	s.logging.Lock()
	defer s.logging.Unlock()
	out := fmt.Appendf(bytes.TrimSuffix(header.Bytes(), []byte("\n")), "%s:%d: %s%s", file, line, after, text)
	if len(text) == 0 || text[len(text)-1] != '\n' {
		out = append(out, '\n')
	}
	_, err := l.Writer().Write(out)
	return err
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
	set("os", map[string]any{"Chdir": func(dir string) error {
		return &fs.PathError{Op: "chdir", Path: dir, Err: errors.New("modules with isolation: none share one working directory")}
	}})
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
