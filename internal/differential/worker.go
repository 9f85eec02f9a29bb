package differential

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Engine says what runs a program.
type Engine string

// Engines.
const (
	Interpreter Engine = "interp" // package interp
	Yaegi       Engine = "yaegi"  // the peer
)

// Job is what one worker process does: run programs, one after the other.
type Job struct {
	Engine   Engine
	Programs []Program
	Times    int // runs of each program that go on at the same time, each loaded anew; at least 1
	Rounds   int // how often each program is run like that; at least 1
}

// workerEnv tells a process that it is a worker. Its job comes on file 3, its outcomes go to file 4: a program may use
// the standard streams.
const workerEnv = "COMA_DIFFERENTIAL_WORKER"

// Work makes this process a worker, if it was started as one, and then does not return. Commands and tests that call
// Run begin with it.
func Work() {
	if os.Getenv(workerEnv) == "" {
		return
	}
	if err := work(os.NewFile(3, "job"), os.NewFile(4, "outcomes")); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func work(in io.Reader, out io.Writer) error {
	var job Job
	if err := gob.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	outcomes := gob.NewEncoder(out)
	for _, p := range job.Programs {
		if err := outcomes.Encode(job.run(p)); err != nil {
			return fmt.Errorf("write outcome: %w", err)
		}
	}
	return nil
}

// run returns the first outcome of p that is not what is wanted, or else the one that is.
func (j Job) run(p Program) Outcome {
	var last Outcome
	for range max(1, j.Rounds) {
		outcomes := make([]Outcome, max(1, j.Times))
		var wg sync.WaitGroup
		for i := range outcomes {
			wg.Go(func() { outcomes[i] = j.Engine.run(p) })
		}
		wg.Wait()
		for _, last = range outcomes {
			if last != (Outcome{Said, p.Want}) {
				return last
			}
		}
	}
	return last
}

func (e Engine) run(p Program) Outcome {
	load := interpreted
	if e == Yaegi {
		load = yaegi
	}
	main, err := load(p)
	if refusal := (*refusal)(nil); errors.As(err, &refusal) {
		return Outcome{Refused, refusal.Error()}
	}
	if err != nil {
		return Outcome{Crashed, err.Error()}
	}
	text := ""
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		text = "Main ended its goroutine"
		text = say(main)
	}()
	select {
	case <-ended:
		return Outcome{Said, text}
	case <-time.After(patience):
		return Outcome{Verdict: Hung}
	}
}

// refusal is why a program is not run.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// Run does a job in a process of its own, which is this very program started again (see Work), and returns the outcome of
// each of its programs. One that takes the process down has crashed, and the rest goes on in another process.
func Run(ctx context.Context, job Job) ([]Outcome, error) {
	var outcomes []Outcome
	for len(outcomes) < len(job.Programs) {
		rest := job
		rest.Programs = job.Programs[len(outcomes):]
		got, failure, err := process(ctx, rest)
		if err != nil {
			return outcomes, err
		}
		outcomes = append(outcomes, got...)
		if failure != nil && len(outcomes) < len(job.Programs) {
			outcomes = append(outcomes, *failure)
		}
	}
	return outcomes, nil
}

// process does a job as far as one process comes. failure is the outcome of the program that ended it.
func process(ctx context.Context, job Job) (outcomes []Outcome, failure *Outcome, err error) {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(job); err != nil {
		return nil, nil, fmt.Errorf("start worker: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("start worker: %w", err)
	}
	in, inEnd, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start worker: %w", err)
	}
	outEnd, out, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start worker: %w", err), in.Close(), inEnd.Close())
	}
	defer outEnd.Close() // read to its end below

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), workerEnv+"=1", "GOTRACEBACK=single")
	cmd.ExtraFiles = []*os.File{in, out}
	var stderr tail
	cmd.Stderr = &stderr
	err = cmd.Start()
	_, _ = in.Close(), out.Close() // the child has its own
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start worker: %w", err), inEnd.Close())
	}
	// A worker that dies early does not read all of this; then its death is what is told.
	_, _ = inEnd.Write(text.Bytes())
	_ = inEnd.Close()

	hung := time.AfterFunc(job.limit(), stop)
	decoder := gob.NewDecoder(outEnd)
	var readErr error
	for readErr == nil {
		var outcome Outcome
		if readErr = decoder.Decode(&outcome); readErr == nil {
			outcomes = append(outcomes, outcome)
			hung.Reset(job.limit())
		}
	}
	late := !hung.Stop()
	stop()
	if waitErr := cmd.Wait(); len(outcomes) == len(job.Programs) {
		return outcomes, nil, nil
	} else if late {
		failure = &Outcome{Hung, clip(stderr.String(), 3000)}
	} else {
		failure = &Outcome{Crashed, fmt.Sprintf("%v: %s", waitErr, stderr.String())}
	}
	return outcomes, failure, nil
}

// limit is how long all runs of one program may take, their loading included. It is longer than what one run may take:
// a program that hangs is told by the worker itself.
func (j Job) limit() time.Duration {
	rounds := time.Duration(max(1, j.Rounds))
	return patience + rounds*patience + rounds*time.Duration(j.Times)*patience/6
}

// tail keeps the first and the last of what is written to it, which is where a crash tells its cause and its place.
type tail struct {
	mu    sync.Mutex
	first []byte
	last  []byte
}

const tailBytes = 3000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := tailBytes - len(t.first); room > 0 {
		t.first = append(t.first, p[:min(room, len(p))]...)
		if len(p) <= room {
			return len(p), nil
		}
		t.last = append(t.last, p[room:]...)
	} else {
		t.last = append(t.last, p...)
	}
	if extra := len(t.last) - tailBytes; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.first)
	if len(t.last) == 0 {
		return string(text)
	}
	return string(text) + "\n…\n" + string(bytes.TrimSpace(t.last))
}
