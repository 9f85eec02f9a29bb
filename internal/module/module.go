// Package module loads, runs and stops one generation of one module.
//
// Read it in this order:
//
//   - module.go: what a module is (Source), what one running generation is (Spec, Instance, Exit)
//   - source.go, load.go: from files to a Program, by packages check and interp
//   - surroundings.go, stream.go, environment.go: what a module sees in place of the process that it shares
//   - process.go: a generation as an OS process, seen from the host; package modproc is its inside
//   - goroutines.go: a generation as goroutines of the host (isolation: none)
//   - program.go: what is different about a program in another language, which package program knows
//   - child.go: what that process runs: the interpreter, or what stands before a program
//   - failure.go: why a generation died
//
// A generation is loaded first and then waits: the host starts the new one when the old one has ended. It ends by Run
// returning, by failing, or by Stop. Whichever way, Done is closed once nothing of it is left, and Exit says how it went.
//
// # What a process contains
//
// Anything that a module's code can do ends the module's process and nothing else: panics in any goroutine, endless
// loops, stack overflow, os.Exit, more memory than allowed, child processes that it leaves behind. When the host dies,
// its end of a pipe closes and the module's process group kills itself.
//
// # What goroutines contain
//
// With isolation: none a module shares the host's process. Panics in Run and in goroutines that interpreted code
// started, os.Exit, log.Fatal, endless recursion and endless interpreted loops end that module alone. Running out of
// memory and concurrent map writes end the host. Compiled functions (StartFunc) cannot be stopped against their will, and
// a panic in a goroutine of theirs ends the host.
package module

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/program"
)

// What host and module process know by the same names.
type (
	Source    = modproc.Source
	LoadError = modproc.LoadError
	Problem   = modproc.Problem
	Failure   = modproc.Failure
	Frame     = modproc.Frame
)

// Spec says which generation of which module to start, and within which limits.
type Spec struct {
	Source
	Agent       string            // the agent's name
	Generation  int               // from 1
	Env         map[string]string // set in the module's environment, besides the host's own
	MemoryLimit int64             // bytes that its process may use, and each that it starts; 0: DefaultMemoryLimit; negative: no limit
	Grace       time.Duration     // what Stop is going to be called with; of no effect here

	API, Broker, Token string // become COMA_API, COMA_BROKER, COMA_TOKEN
	HTTP               string // becomes COMA_HTTP, if it is not empty: where the memory is served to Chroma clients

	// Executable is the command that is the module's process. Empty: this program with the argument "module", which runs
	// ChildMain.
	Executable []string
	Compiled   bool // Executable is the module itself, compiled: its stack traces are the module's own

	// Mailbox is how a module of the Python framework takes its messages: "mqtt", as a client of the embedded broker,
	// or "" from the host. It becomes COMA_MAILBOX.
	Mailbox string

	// Program is what is started, of a module in another language. Source then has no Go files.
	Program *program.Program
}

// DefaultMemoryLimit is what a module's process may use where Spec does not say.
const DefaultMemoryLimit = 512 << 20

func (s *Spec) identity() api.Identity {
	return api.Identity{Agent: s.Agent, Module: s.Name, Generation: s.Generation}
}

// variables are what a module finds in its environment.
func (s *Spec) variables() map[string]string {
	vars := maps.Clone(s.Env)
	if vars == nil {
		vars = map[string]string{}
	}
	vars["COMA_AGENT"], vars["COMA_MODULE"], vars["COMA_GENERATION"] = s.Agent, s.Name, strconv.Itoa(s.Generation)
	vars["COMA_API"], vars["COMA_BROKER"], vars["COMA_TOKEN"] = s.API, s.Broker, s.Token
	if s.HTTP != "" {
		vars["COMA_HTTP"] = s.HTTP
	}
	if s.Program != nil && s.Program.Framework {
		vars["COMA_MAILBOX"] = cmp.Or(s.Mailbox, "host")
	}
	if path := s.path(); path != "" {
		vars["PATH"] = path
	}
	return vars
}

// environ is the environment of the module's process: the host's own, and what is the module's.
func (s *Spec) environ() []string {
	return Environ(s.variables())
}

// ownersSecrets are what the host alone needs to know: who has them is the owner of a backend, or of a broker, for all
// agents.
var ownersSecrets = []string{"COMA_PASSWORD", "COMA_CHROMA_TOKEN", "COMA_MEMORY_TOKEN", "COMA_BROKER_PASSWORD"}

// Environ is this process's environment, without secrets that are no module's, and with more variables, as NAME=value.
func Environ(more map[string]string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(ownersSecrets, name)
	})
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	return env
}

// path is the module's PATH: coma's own folder comes first, so that a module that calls coma calls this one. It is ""
// where this program is another, and PATH stays as it is.
func (s *Spec) path() string {
	self, err := os.Executable()
	if err != nil || filepath.Base(self) != "coma" {
		return ""
	}
	path, ok := s.Env["PATH"]
	if !ok {
		path = os.Getenv("PATH")
	}
	return filepath.Dir(self) + string(filepath.ListSeparator) + path
}

func (s *Spec) memoryLimit() int64 {
	if s.MemoryLimit == 0 {
		return DefaultMemoryLimit
	}
	return max(s.MemoryLimit, 0)
}

// Instance is one loaded generation. It waits until Start. Its methods may be called from any goroutine.
type Instance interface {
	// Start lets Run begin. It is an error if the instance has ended or was stopped.
	Start() error
	// Stop asks: the context that Run was given ends. What has not ended after grace is killed. Stop returns at once;
	// of several calls, the first that asks and the shortest grace count.
	Stop(grace time.Duration)
	// Done is closed when everything of the instance has ended.
	Done() <-chan struct{}
	// Exit says how it ended. It may be called once Done is closed.
	Exit() Exit
	// PID is the process's ID, 0 for goroutines.
	PID() int
}

// Exit is how an instance ended.
type Exit struct {
	Outcome api.Outcome // Finished; Stopped: killed or failed after Stop; Died
	Err     error       // nil or a *Failure
	Asked   bool        // Stop had been called
}

// Output takes the lines that a module writes to its standard output and standard error.
type Output interface {
	// Line is called with "stdout" or "stderr" and a line without its end, in the order of each stream, at most
	// MaxLine bytes (longer lines come in parts, each but the last marked). Calls may come from two goroutines at once.
	// It must not block for ever.
	Line(stream, text string)
}

// MaxLine is the most that Output is given as one line, in bytes, without the mark of a line that goes on.
const MaxLine = 64 << 10
