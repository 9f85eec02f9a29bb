package backend

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Bounds of how slowly a request's body may come.
const (
	bodyTime = 30 * time.Second
	bodyRate = 32 << 10 // bytes a second, beside bodyTime
)

// arriving is a request's body that has to come in its time: who holds one back holds the memory of what has come.
type arriving struct {
	io.ReadCloser
	deadline func(time.Time) error // of reading from the connection
	since    time.Time
	read     int64
}

// inTime lets a request's body take its time and no more.
func inTime(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return // a WebSocket, or one who listens, may be silent
	}
	r.Body = &arriving{ReadCloser: r.Body, deadline: http.NewResponseController(w).SetReadDeadline, since: time.Now()}
}

func (a *arriving) Read(p []byte) (int, error) {
	if err := a.due(a.since.Add(bodyTime + time.Duration(a.read/bodyRate)*time.Second)); err != nil {
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
	return n, err
}

// due sets the deadline, where the connection has one.
func (a *arriving) due(at time.Time) error {
	if err := a.deadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
