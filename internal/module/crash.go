package module

import (
	"bytes"
	"strings"
	"syscall"
)

// crash is what the Go runtime printed when the process died.
type crash struct {
	cause     string // "panic: …", "stack overflow", "fatal error: …"; "" if the text is of no crash
	memory    bool   // there was no more memory to be had
	goroutine int64  // the one that died; 0 if the text does not say
}

// readCrash finds the cause in what the runtime prints: a panic's value ends where the stack of a goroutine, a signal or
// the panics that it went through begin.
func readCrash(text []byte) crash {
	var c crash
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines {
		s := string(line)
		switch {
		case c.cause == "" && strings.HasPrefix(s, "panic: "):
			value := []string{strings.TrimPrefix(s, "panic: ")}
			for _, next := range lines[i+1:] {
				if len(next) == 0 || bytes.HasPrefix(next, []byte("\tpanic: ")) || bytes.HasPrefix(next, []byte("[signal ")) {
					break
				}
				value = append(value, strings.TrimPrefix(string(next), "\t"))
			}
			c.cause = "panic: " + clipped(thrown(strings.Join(value, "\n")), maxCause)
		case c.cause == "" && strings.HasPrefix(s, "fatal error: "):
			what := strings.TrimPrefix(s, "fatal error: ")
			switch {
			case what == "stack overflow":
				c.cause = what
			case strings.Contains(what, "out of memory") || strings.Contains(what, "cannot allocate memory"):
				c.memory = true
				c.cause = what
			default:
				c.cause = "fatal error: " + clipped(what, maxCause)
			}
		case strings.HasPrefix(s, "goroutine ") && c.goroutine == 0:
			if id, err := goroutineID(line); err == nil { // anything else is a line of the module's panic text
				c.goroutine = id
			}
		}
	}
	return c
}

// thrown is a panic's value as the module's author would name it: without the marks of passing through the interpreter.
func thrown(value string) string {
	for _, mark := range []string{" [recovered, repanicked]", " [recovered, reraised]", " [recovered]"} {
		value = strings.TrimSuffix(value, mark)
	}
	if inner, ok := strings.CutPrefix(value, "<"); ok {
		if kind, ok := strings.CutSuffix(inner, " Value>"); ok { // reflect.Value's String of all but strings
			return "a value of type " + strings.ReplaceAll(kind, "interp.", "")
		}
	}
	return plainPanic(value)
}

// signalName is the name that people know a signal by.
func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGKILL:
		return "SIGKILL (from outside, or by the system when memory ran out)"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGSEGV:
		return "SIGSEGV"
	case syscall.SIGABRT:
		return "SIGABRT"
	default:
		return "signal " + s.String()
	}
}
