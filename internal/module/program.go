//go:build unix

package module

import (
	"context"
	"slices"
	"sync"
	"syscall"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// What is different where the module is a program in another language (see package program): the process that is started
// is the one that stands before it, and that reports when the program has started, and how it ended.

// prepare completes what the process is to be told, and returns the environment that it is to have.
func (p *process) prepare(ctx context.Context, assignment *modproc.Assignment) (env []string, err error) {
	env = p.spec.environ()
	if p.spec.Program == nil {
		return env, nil
	}
	ready, err := p.spec.Program.Prepare(ctx, env, p.spec.memoryLimit())
	if err != nil {
		return nil, err
	}
	assignment.Command, assignment.StopAll = ready.Command, ready.StopAll
	p.tail = &tail{out: p.out}
	p.out = p.tail
	return ready.Env, nil
}

// programFailure says why a program ended, nil where it ended well or as it was asked to.
func (p *process) programFailure(ended modproc.Ended) *Failure {
	p.mu.Lock()
	asked := p.asked
	p.mu.Unlock()
	sig := syscall.Signal(ended.Signal)
	switch {
	case sig == syscall.SIGTERM && asked, ended == modproc.Ended{}:
		return nil
	case asked && ended.Status == 128+int(syscall.SIGTERM): // how shells pass on that a command was ended by a signal
		return nil
	}
	return p.spec.Program.Death(ended, p.tail.lines(), p.spec.memoryLimit())
}

// tail is an Output that passes lines on and keeps the last ones of standard error: what a program died of stands there.
type tail struct {
	out Output

	mu   sync.Mutex
	kept []string
	size int // of kept, in bytes
}

// How much a tail keeps: more than the longest stack trace that anyone reads.
const (
	tailLines = 400
	tailBytes = 256 << 10
)

// Line implements Output.
func (t *tail) Line(stream, text string) {
	if stream == "stderr" {
		t.keep(text)
	}
	t.out.Line(stream, text)
}

func (t *tail) keep(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, text)
	t.size += len(text)
	for len(t.kept) > tailLines || t.size > tailBytes {
		t.size -= len(t.kept[0])
		t.kept = t.kept[1:]
	}
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}
