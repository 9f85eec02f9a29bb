package main

import (
	"errors"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/foreground"
)

// Exit codes, as "coma help exit-codes" tells them.
const (
	exitOK          = 0 // what was asked for was done
	exitFailed      = 1 // it failed, or with run --once a module did
	exitUsage       = 2 // the command line or the project is wrong: nothing was started
	exitTimeout     = 3 // receive: no message came in time
	exitStopped     = 4 // receive: the module is asked to stop, or has been replaced
	exitInterrupted = foreground.ExitInterrupted
)

const exitCodesHelp = `coma's exit codes:

  0    what was asked for was done
  1    it failed; with "coma run --once": a module failed
  2    the command line or the project is wrong, and nothing was started
  3    "coma receive": no message came in time
  4    "coma receive": the module is to stop
  130  a second Ctrl-C ended it at once`

// usageError is a mistake in the command line or the project.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// silentError has been told already; it only sets the exit code.
type silentError struct{ error }

// codeError sets an exit code that says all there is to say.
type codeError struct {
	code int
	error
}

func exitCode(err error) int {
	var usage usageError
	var coded codeError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}
