package supervisor

import (
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Kind says what happened.
type Kind string

const (
	Started    Kind = "started"     // a first generation runs
	Reloaded   Kind = "reloaded"    // a newer generation runs; Took is from the edit to its start
	Restarted  Kind = "restarted"   // the same generation runs again
	Compiling  Kind = "compiling"   // the interpreter refuses what Go runs: Err, the first such place
	LoadFailed Kind = "load failed" // source does not load: Err, a *module.LoadError if it is the code; what ran goes on
	Failed     Kind = "failed"      // a generation died: Err, a *module.Failure; starts again after Delay, or never if it is 0
	Ended      Kind = "ended"       // Run returned nil; starts again after Delay, or never if it is 0
	Stopped    Kind = "stopped"     // ended because it was asked to, with Err if it did not end well
	Removed    Kind = "removed"     // the module has gone from the project
	Problem    Kind = "problem"     // Err keeps something from working, but no module from running
	Logged     Kind = "log"         // Log, and Stream ("stdout", "stderr") if it came that way
	Printed    Kind = "print"       // Text, for the person at the console
)

// Event is something that happened to an agent. Which fields are set is said at its Kind.
type Event struct {
	Time       time.Time
	Agent      string
	Module     string // "" where it is about the agent as a whole
	Kind       Kind
	Generation int
	PID        int
	Took       time.Duration
	Delay      time.Duration
	Err        error
	Log        api.LogEntry
	Stream     string
	Text       string
}
