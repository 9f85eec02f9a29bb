package backend

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Bounds of how slowly a message may come: a request's body, an MQTT packet, or what a WebSocket carries.
const (
	bodyTime = 30 * time.Second
	bodyRate = 8 << 10 // bytes a second, beside bodyTime
)

// dueAt is when a message has to be there that began at a time and of which so many bytes have been read.
func dueAt(since time.Time, read int64) time.Time {
	return since.Add(bodyTime + time.Duration(read/bodyRate)*time.Second)
}

// arriving is a request's body that has to come in its time, and for which there has to be room: who holds one back holds
// the memory of what has come.
type arriving struct {
	io.ReadCloser
	deadline func(time.Time) error // of reading from the connection
	since    time.Time
	read     int64

	hold access.Hold // covers what has been announced
	done <-chan struct{}
	told func(error) // of a body for which there is no room
}

// bodyError is why a body cannot be read: it has the status that answers the request.
type bodyError struct {
	status int
	err    error
}

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// HTTPStatus is asked for by those who answer requests.
func (e *bodyError) HTTPStatus() int { return e.status }

var errLate = fmt.Errorf("it did not come in its time: %v, and a second more for each %d KiB", bodyTime, bodyRate>>10)

// receive lets a request's body take its time and its room, and no more. It returns when there is room for what the
// request announces; release is called when the request has been answered.
func (b *Backend) receive(w http.ResponseWriter, r *http.Request, id access.Identity) (release func(), refusal *bodyError) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}, nil // a WebSocket, or one who listens, may be silent
	}
	hold := b.intake.Hold(id, here(r))
	told := func(err error) { b.unreceived(id.User(), remote(r), err) }
	if err := hold.Reach(r.Context().Done(), r.ContentLength); err != nil {
		told(err)
		return nil, noRoom(err)
	}
	body := &arriving{
		ReadCloser: r.Body, deadline: http.NewResponseController(w).SetReadDeadline, since: time.Now(),
		hold: hold, done: r.Context().Done(), told: told,
	}
	r.Body = body
	return body.hold.Release, nil
}

// noRoom is the error of a body for which there is no room.
func noRoom(err error) *bodyError {
	if errors.Is(err, api.ErrTooLarge) {
		return &bodyError{http.StatusRequestEntityTooLarge, err}
	}
	return &bodyError{http.StatusServiceUnavailable, err}
}

func (a *arriving) Read(p []byte) (int, error) {
	if err := a.due(dueAt(a.since, a.read)); err != nil {
		return 0, err
	}
	n, err := a.ReadCloser.Read(p)
	a.read += int64(n)
	if err == io.EOF {
		// The server reads on, to notice that the client leaves: to it, a deadline that passes would be that.
		if err := a.due(time.Time{}); err != nil {
			return n, err
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		a.told(errLate)
		return n, &bodyError{http.StatusRequestTimeout, fmt.Errorf("read body: %w", errLate)}
	}
	came := time.Now()
	if full := a.hold.Reach(a.done, a.read); full != nil { // its length was not announced
		a.told(full)
		return n, noRoom(full)
	}
	a.since = a.since.Add(time.Since(came))
	return n, err
}

// due sets the deadline, where the connection has one.
func (a *arriving) due(at time.Time) error {
	if err := a.deadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
