package rest

import (
	"bytes"
	"context"
	"net/http"
	"reflect"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/describe"
)

// Heard is something published. The event "listening", which comes first, has nothing of it.
type Heard struct {
	Topic  string    `json:"topic"`            // on which it was published
	From   string    `json:"from,omitempty"`   // who published it: "agent/module", "mqtt:" and a client's id, or "rest"
	Time   time.Time `json:"time"`             // when it came to the host
	Text   string    `json:"text,omitempty"`   // what was published
	Base64 []byte    `json:"base64,omitempty"` // instead of the text, where that is not UTF-8
	Retain bool      `json:"retain,omitempty"` // the broker had kept it for those who come later
	Missed int       `json:"missed,omitempty"` // how many were left out before this one: the listener was too slow
}

// listenQuery says what one listens to.
type listenQuery struct {
	Pattern string `json:"pattern,omitempty"` // an MQTT pattern, with + and #; all messages to modules if not given
}

const (
	allMessages = "concurrent_modular_agent/message/#" // see api.MessageTopic
	// heartbeat is how often a stream on which nothing is heard shows that it lives: what lies between gives up silent ones.
	heartbeat = 15 * time.Second
	// stuck is how long a listener may take for what is written to it.
	stuck = 30 * time.Second
)

func listenRoute(path, id, summary string) route {
	return route{
		Operation: describe.Operation{
			Method: "GET", Path: path, ID: id, Summary: summary, Stream: true, Status: http.StatusOK,
			Names: reflect.TypeFor[names](), Query: typeOf[listenQuery](), Result: typeOf[Heard](),
		},
		serve: func(w http.ResponseWriter, r *http.Request) {
			a, err := read[listenQuery, none](w, r)
			if err != nil {
				tell(w, err)
				return
			}
			listen(r.Context(), a, w)
		},
	}
}

func listen(ctx context.Context, a asked[listenQuery, none], w http.ResponseWriter) {
	pattern := a.query.Pattern
	if pattern == "" {
		pattern = allMessages
	}
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	s := &stream{w: w, controller: http.NewResponseController(w), gone: gone}
	var beating sync.WaitGroup
	defer beating.Wait()
	defer gone()
	err := a.host.Listen(ctx, pattern, func(h api.Heard) {
		if h.Topic == "" { // it only says that the listening has begun
			s.event("listening", struct{}{})
			beating.Go(func() { s.beat(ctx) })
			return
		}
		heard := Heard{Topic: h.Topic, From: h.From, Time: h.Time, Retain: h.Retain, Missed: h.Missed}
		if text := string(h.Payload); utf8.ValidString(text) {
			heard.Text = text
		} else {
			heard.Base64 = h.Payload
		}
		s.event("heard", heard)
	})
	if err != nil && ctx.Err() == nil {
		s.fail(err)
	}
}

// stream writes server-sent events (HTML Living Standard, section 9.2).
type stream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	gone       context.CancelFunc

	mu    sync.Mutex
	begun bool
}

func (s *stream) event(name string, data any) {
	text, err := encode(data)
	if err != nil {
		panic(err) // text, bytes and numbers can always be encoded
	}
	var b bytes.Buffer
	b.WriteString("event: " + name + "\ndata: ")
	b.Write(text) // JSON is one line
	b.WriteString("\n")
	s.write(b.Bytes())
}

// write writes something whole. Where that fails the listener has gone.
func (s *stream) write(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", describe.EventStream)
		s.w.Header().Set("Cache-Control", "no-store")
	}
	// A server that knows no deadlines only holds on longer to a listener that does not read.
	_ = s.controller.SetWriteDeadline(time.Now().Add(stuck))
	_, err := s.w.Write(text)
	if err == nil {
		err = s.controller.Flush()
	}
	if err != nil {
		s.gone()
	}
}

// beat writes a comment now and then, until ctx ends.
func (s *stream) beat(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.write([]byte(":\n\n"))
		case <-ctx.Done():
			return
		}
	}
}

// fail tells why a stream ends.
func (s *stream) fail(err error) {
	s.mu.Lock()
	begun := s.begun
	s.mu.Unlock()
	if !begun {
		tell(s.w, err)
		return
	}
	s.event("problem", Problem{Title: http.StatusText(status(err)), Status: status(err), Detail: err.Error()})
}
