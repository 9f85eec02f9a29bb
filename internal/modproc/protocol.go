package modproc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// What host and module process tell each other, as lines of JSON over two pipes. The host's end of the first pipe is also
// its sign of life, and the process's end of the second is the process's.
//
//	descriptor 0  nothing
//	descriptor 1  the module's standard output
//	descriptor 2  what the Go runtime prints when it dies; and what a compiled module writes to standard error before
//	              main, or by the builtin println (see Words)
//	descriptor 3  orders, from the host
//	descriptor 4  reports, to the host
//	descriptor 5  the module's standard error
const (
	ordersFD = 3
	reportFD = 4
	stderrFD = 5
)

// InstanceVariable marks, in the environment, every process of an instance, also those that leave its process group.
const InstanceVariable = "COMA_INSTANCE"

// Order is a line from the host: first the module, then the word to start it.
type Order struct {
	Module *Assignment `json:"module,omitempty"`
	Start  bool        `json:"start,omitempty"`
}

// Report is a line from the module's process. One of its fields is set.
type Report struct {
	Loaded  *Loaded   `json:"loaded,omitempty"`
	Refused []Problem `json:"refused,omitempty"` // the code does not load
	Failure *Failure  `json:"failure,omitempty"` // it ends now, because of this
	Started int       `json:"started,omitempty"` // the ID of the process that is the module's own program
	Ended   *Ended    `json:"ended,omitempty"`   // how that ended
}

// Ended is how a program ended: by a signal, or by exiting with a status.
type Ended struct {
	Status int `json:"status"`
	Signal int `json:"signal,omitempty"`
}

// Loaded says that the code is loaded and waits.
type Loaded struct {
	Spawns bool `json:"spawns,omitempty"` // it can start processes: the host looks for them when it has ended
	// SourceDir is the project's folder as compiled code knows it, the one that the Go runtime's traces name files in: for
	// an agent of "coma build" a folder of the machine that built it. "" for interpreted code, whose traces are not the
	// runtime's.
	SourceDir string `json:"source_dir,omitempty"`
}

// How long a line may be, in bytes. An order may hold all of a module's source.
const (
	MaxReport = 1 << 20
	MaxOrder  = 64 << 20
)

func errLongLine(limit int) error { return fmt.Errorf("a line is longer than %d bytes", limit) }

// ReadLine decodes the next line, of at most limit bytes, into v, a pointer. It is io.EOF at the end, io.ErrUnexpectedEOF
// within a line.
func ReadLine(r *bufio.Reader, limit int, v any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return errLongLine(limit)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			if err := json.Unmarshal(line, v); err != nil {
				return fmt.Errorf("decode line: %w", err)
			}
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return io.ErrUnexpectedEOF
		default:
			return err
		}
	}
}

// LineWriter writes values as lines, one at a time. It is safe for concurrent use.
type LineWriter struct {
	mu    sync.Mutex
	w     io.Writer
	limit int // of a line, in bytes
}

// NewLineWriter makes a LineWriter for lines of at most limit bytes: MaxOrder or MaxReport.
func NewLineWriter(w io.Writer, limit int) *LineWriter { return &LineWriter{w: w, limit: limit} }

// Write writes v as one line.
func (l *LineWriter) Write(v any) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode line: %w", err)
	}
	if line.Len() > l.limit {
		return errLongLine(l.limit)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(line.Bytes()); err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	return nil
}

// bounded is problems cut to what fits into a report.
func bounded(problems []Problem) []Problem {
	const most = 50
	if len(problems) <= most {
		return problems
	}
	more := Problem{Message: fmt.Sprintf("and %d more", len(problems)-most)}
	return append(problems[:most:most], more)
}
