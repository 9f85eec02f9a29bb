// Package retry calls services that fail now and then, and decides by the error's kind whether another try is worth it.
package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// Kinds of failures, as a service tells them.
type (
	// StatusError is an answer that is not a success.
	StatusError struct {
		Code  int
		After time.Duration
	}
	// OpError adds what was tried.
	OpError struct {
		Op  string
		Try int
		Err error
	}
	timeoutError struct{ error }
	quota        int
)

func (e StatusError) Error() string   { return "status " + strconv.Itoa(e.Code) }
func (e StatusError) Temporary() bool { return e.Code == 429 || e.Code >= 500 }

func (e *OpError) Error() string { return fmt.Sprintf("%s (try %d): %v", e.Op, e.Try, e.Err) }
func (e *OpError) Unwrap() error { return e.Err }

func (timeoutError) Timeout() bool { return true }

func (q quota) Error() string { return fmt.Sprintf("over quota by %d", int(q)) }
func (q quota) Is(target error) bool {
	other, ok := target.(quota)
	return ok && (other == 0 || other == q)
}

// ErrExhausted is there when all tries have failed.
var ErrExhausted = errors.New("gave up")

// permanent marks an error that no try will cure.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Policy says how often and how long to try.
type Policy struct {
	Tries  int
	Base   time.Duration
	Factor float64
	Cap    time.Duration
	sleep  func(time.Duration) // of the caller
}

func (p Policy) pause(try int) time.Duration {
	d := float64(p.Base) * math.Pow(p.Factor, float64(try))
	return time.Duration(min(d, float64(p.Cap)))
}

// verdict says what to do about an error.
type verdict struct {
	again bool
	pause time.Duration
	why   string
}

func (p Policy) judge(err error, try int) verdict {
	var (
		perm   permanent
		status StatusError
		temp   interface{ Temporary() bool }
		tmo    net.Error
		path   *fs.PathError
	)
	switch {
	case errors.As(err, &perm):
		return verdict{why: fmt.Sprintf("permanent %T", perm.error)}
	case errors.Is(err, quota(0)):
		return verdict{why: "quota"}
	case errors.As(err, &status) && status.After > 0:
		return verdict{true, status.After, "server says when"}
	case errors.As(err, &temp) && temp.Temporary():
		return verdict{true, p.pause(try), "temporary"}
	case errors.As(err, &tmo) && tmo.Timeout():
		return verdict{true, 0, "timeout"}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return verdict{true, p.pause(try) / 2, "cut"}
	case errors.As(err, &path):
		return verdict{why: "file " + path.Path}
	}
	return verdict{why: "unknown"}
}

// Do calls f until it succeeds or is not worth it.
func Do[T any](ctx context.Context, p Policy, op string, f func(ctx context.Context, try int) (T, error)) (result T, notes []string, err error) {
	var all []error
	for try := range p.Tries {
		result, err = attempt(ctx, try, f)
		if err == nil {
			return result, notes, nil
		}
		err = &OpError{op, try + 1, err}
		all = append(all, err)
		v := p.judge(err, try)
		notes = append(notes, fmt.Sprintf("%s, %v", v.why, v.pause))
		if !v.again {
			return result, notes, err
		}
		if p.sleep(v.pause); ctx.Err() != nil {
			return result, notes, errors.Join(context.Cause(ctx), err)
		}
	}
	return result, notes, fmt.Errorf("%w after %d tries: %w", ErrExhausted, p.Tries, errors.Join(all...))
}

// attempt turns a panic into an error that is permanent.
func attempt[T any](ctx context.Context, try int, f func(context.Context, int) (T, error)) (result T, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = permanent{r}
		default:
			err = permanent{fmt.Errorf("panic: %v", r)}
		}
	}()
	return f(ctx, try)
}

// service fails as its script says: one word a try.
type service struct{ script []string }

func (s service) call(_ context.Context, try int) (string, error) {
	if try >= len(s.script) {
		return "", errors.New("script is over")
	}
	word, arg, _ := strings.Cut(s.script[try], "=")
	n, _ := strconv.Atoi(arg)
	switch word {
	case "ok":
		return "result " + arg, nil
	case "status":
		return "", StatusError{Code: n}
	case "after":
		return "", &OpError{"inner", try, StatusError{429, time.Duration(n) * time.Millisecond}}
	case "timeout":
		return "", timeoutError{errors.New("slow")}
	case "quota":
		return "", fmt.Errorf("billing: %w", quota(n))
	case "cut":
		return "partial", fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	case "file":
		return "", &fs.PathError{Op: "open", Path: arg, Err: fs.ErrNotExist}
	case "permanent":
		return "", permanent{StatusError{Code: 503}}
	case "panic":
		panic(arg)
	case "crash":
		var m map[string]int
		m[arg]++
	case "index":
		return s.script[n], nil
	}
	return "", errors.New(word)
}

func (timeoutError) Temporary() bool { return false }

var _ net.Error = timeoutError{}

// Run takes "tries word…" and answers how it went.
func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		words := strings.Fields(msg.Text)
		tries, err := strconv.Atoi(words[0])
		if err != nil {
			tries = 3
		}
		var slept []time.Duration
		inner, cancel := context.WithCancelCause(ctx)
		p := Policy{tries, 100 * time.Millisecond, 2, 350 * time.Millisecond, func(d time.Duration) {
			if slept = append(slept, d); len(slept) > 6 {
				cancel(errors.New("too long"))
			}
		}}
		result, notes, err := Do(inner, p, "call", service{words[1:]}.call)
		cancel(nil)
		var op *OpError
		answer := fmt.Sprintf("%q %v\nnotes %q\nslept %v", result, err, notes, slept)
		if errors.As(err, &op) {
			answer += fmt.Sprintf("\ntry %d of %s, exhausted %t, missing %t, quota 3: %t", op.Try, op.Op, errors.Is(err, ErrExhausted), errors.Is(err, fs.ErrNotExist), errors.Is(err, quota(3)))
		}
		length, _, err := Do(ctx, p, "len", func(_ context.Context, try int) (int, error) { return len(result) + try, nil })
		answer += fmt.Sprint("\nlength ", length, err)
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}
