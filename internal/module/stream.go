package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// lines cuts what is written to it into lines for an Output.
type lines struct {
	stream string
	out    Output
	rest   []byte // a line that has no end yet, at most MaxLine
}

// continues marks a line that was too long to be given as one.
const continues = " … (the line goes on)"

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if room := MaxLine - len(l.rest); len(line) > room {
			l.rest = append(l.rest, line[:room]...)
			p = p[room:]
			l.emit(continues)
			continue
		}
		l.rest = append(l.rest, line...)
		if ended {
			l.emit("")
		}
		p = rest
	}
	return n, nil
}

func (l *lines) emit(mark string) {
	l.out.Line(l.stream, strings.TrimSuffix(string(l.rest), "\r")+mark)
	l.rest = l.rest[:0]
	if cap(l.rest) > 4<<10 {
		l.rest = nil // long lines are rare: do not keep their room
	}
}

// end gives out a last line that has no end.
func (l *lines) end() {
	if len(l.rest) > 0 {
		l.emit("")
	}
}

// copyLines gives out what arrives on a pipe until it ends.
func copyLines(stream string, from *os.File, out Output) {
	l := &lines{stream: stream, out: out}
	buf := make([]byte, 8<<10)
	if _, err := io.CopyBuffer(struct{ io.Writer }{l}, struct{ io.Reader }{from}, buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		l.end()
		out.Line("stderr", fmt.Sprintf("coma: read the module's %s: %v", stream, err))
	}
	l.end()
}

// stream is the standard output or error of a module that shares its process: a writer and, where the module asks for
// it by name, a file.
type stream struct {
	mu    sync.Mutex
	lines lines
	shut  bool

	file *os.File // what the module knows as os.Stdout; nil if it never asks
	done chan struct{}
}

func newStream(name string, out Output, withFile bool) (*stream, error) {
	s := &stream{lines: lines{stream: name, out: out}, done: make(chan struct{})}
	if !withFile {
		close(s.done)
		return s, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open the module's %s: %w", name, err)
	}
	s.file = w
	go func() {
		defer close(s.done)
		defer r.Close()
		copyLines(name, r, out)
	}()
	return s, nil
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return 0, os.ErrClosed
	}
	return s.lines.Write(p)
}

// close gives out what is left. Writing fails afterwards.
func (s *stream) close() {
	s.mu.Lock()
	s.shut = true
	s.lines.end()
	s.mu.Unlock()
	if s.file != nil {
		if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			s.lines.out.Line("stderr", "coma: close the module's "+s.lines.stream+": "+err.Error())
		}
	}
	<-s.done
}
