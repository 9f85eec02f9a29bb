package exchange

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

const (
	// A stream has at most so many messages, and so many bytes unless one message alone is larger, on their way.
	windowMessages = 256
	windowBytes    = 4 * mailBytes

	// How long an acknowledgement is waited for: doubled each time from the first to the longest.
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// outgoing is the sender's side of a stream.
type outgoing struct {
	x      *Exchange
	to     string
	outbox *outbox
	box    *mailbox.Box
	reader *mailbox.Reader
	woken  chan struct{} // capacity 1

	mu    sync.Mutex
	heard *ack // not looked at yet; several are merged
	again bool // all that is on its way may be lost

	// Below: of run's goroutine alone.
	epoch   string
	host    string   // where the module is
	flight  []letter // taken from the outbox and not acknowledged
	bytes   int      // of flight
	sent    int      // how many of flight, from its head, have been published
	tried   uint64   // the highest number that may have been published, by this process or an earlier one
	taken   uint64   // the highest number taken from the outbox, or that waited in it at the start
	narrow  bool     // one mail at a time: no answer has come
	failed  bool     // the broker did not take the last mail
	refused string   // why the receiver takes nothing
	told    string   // the last of refused that was logged
	pause   time.Duration
	due     time.Time // when to try again, if no answer comes
}

func newOutgoing(x *Exchange, to string, o *outbox) *outgoing {
	s := &outgoing{x: x, to: to, outbox: o, box: o.store.Box(to), woken: make(chan struct{}, 1), pause: firstPause}
	if waiting := s.box.Waiting(); len(waiting) > 0 {
		s.tried = waiting[len(waiting)-1].Seq
		s.taken = s.tried
	}
	s.reader = s.box.Open()
	s.reader.OnReadable(s.wake)
	return s
}

func (s *outgoing) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// repeat says that what is on its way to a host may be lost; to any, for "".
func (s *outgoing) repeat(host string) {
	if host != "" {
		if now, _ := s.x.hosts.find(s.to, ""); now != host {
			return
		}
	}
	s.mu.Lock()
	s.again = true
	s.mu.Unlock()
	s.wake()
}

// acknowledge takes what a receiver says.
func (s *outgoing) acknowledge(a ack) {
	s.mu.Lock()
	if h := s.heard; h != nil && h.Host == a.Host {
		a.Had, a.Gap = max(a.Had, h.Had), a.Gap || h.Gap
	}
	s.heard = &a
	s.mu.Unlock()
	s.wake()
}

// run sends until the exchange ends.
func (s *outgoing) run() {
	timer := time.NewTimer(longestPause)
	defer timer.Stop()
	for s.x.life.Err() == nil {
		s.hear()
		s.locate()
		s.fetch()
		if s.may() {
			s.send()
			continue
		}
		var late <-chan time.Time
		if s.sent > 0 || s.failed || s.refused != "" {
			timer.Reset(time.Until(s.due))
			late = timer.C
		}
		select {
		case <-s.woken:
		case <-late:
			s.rewind()
			s.narrow, s.failed, s.refused = true, false, ""
			s.pause = min(2*s.pause, longestPause)
		case <-s.x.life.Done():
		}
	}
}

// rewind begins again behind what was acknowledged.
func (s *outgoing) rewind() { s.sent = 0 }

// fresh begins again with good hope.
func (s *outgoing) fresh() {
	s.rewind()
	s.narrow, s.failed, s.refused, s.pause = false, false, "", firstPause
}

// hear looks at what has been said to the stream since it last did.
func (s *outgoing) hear() {
	s.mu.Lock()
	a, again := s.heard, s.again
	s.heard, s.again = nil, false
	s.mu.Unlock()
	if epoch := s.outbox.current(); epoch != s.epoch {
		s.epoch = epoch
		s.fresh()
	}
	if again {
		s.fresh()
	}
	if a == nil || a.Host != s.host || a.Epoch != s.epoch {
		return
	}
	if a.Had > s.taken {
		if len(s.flight) > 0 { // else it may be an old answer, to what an earlier process has sent
			s.misnumbered(a)
		}
		return
	}
	progress := false
	for len(s.flight) > 0 && s.flight[0].seq <= a.Had {
		s.bytes -= sizeOf(&s.flight[0].m)
		s.flight[0] = letter{}
		s.flight = s.flight[1:]
		s.sent = max(0, s.sent-1)
		progress = true
	}
	if progress {
		s.reader.Ack(a.Had)
		s.narrow, s.refused, s.told, s.pause = false, "", "", firstPause
		s.due = time.Now().Add(s.pause)
	}
	if a.Gap {
		s.rewind()
	}
	if a.Refused != "" && s.refused == "" {
		s.rewind()
		s.refused = a.Refused
		s.due = time.Now().Add(s.pause)
		if s.told != s.refused {
			s.told = s.refused
			s.x.log.Warn("messages wait: the host that they are for does not take them",
				slog.String("to", s.to), slog.String("host", s.host), slog.String("cause", a.Refused))
		}
	}
}

// misnumbered deals with a receiver that has had more than was ever sent: this outbox is an older one, put back in its place,
// whose numbers were given to other messages since.
func (s *outgoing) misnumbered(a *ack) {
	s.x.log.Warn("the outbox is older than what was sent from it: its messages are numbered anew",
		slog.String("to", s.to), slog.Uint64("arrived", a.Had), slog.Uint64("sent", s.taken))
	if err := s.outbox.renew(); err != nil {
		s.failed = true
		s.due = time.Now().Add(s.pause)
		s.x.log.Error("messages to other hosts wait", slog.Any("error", err))
		return
	}
	s.x.look()
}

// locate looks where the module is.
func (s *outgoing) locate() {
	host, up := s.x.hosts.find(s.to, s.host)
	if !up {
		host = "" // its messages wait until it is back
	}
	if host != s.host {
		s.host = host
		s.fresh()
	}
}

// fetch takes messages from the outbox, up to the window.
func (s *outgoing) fetch() {
	for s.host != "" && len(s.flight) < windowMessages && s.bytes < windowBytes {
		m, ok, err := s.reader.TryNext()
		if !ok || err != nil { // an error: the store is closed, and the exchange with it
			return
		}
		s.flight = append(s.flight, letter{m.Seq, m})
		s.bytes += sizeOf(&m)
		s.taken = max(s.taken, m.Seq)
	}
}

// may reports whether a mail may be sent now.
func (s *outgoing) may() bool {
	return s.host != "" && s.sent < len(s.flight) && !s.failed && s.refused == "" &&
		(s.sent == 0 || !s.narrow && !s.large(s.sent))
}

// large reports whether a message is, or may be, sent in parts: it then waits until all before it have arrived.
func (s *outgoing) large(i int) bool { return sizeOf(&s.flight[i].m) > mailBytes }

// sizeOf is about what a message takes.
func sizeOf(m *api.Message) int {
	n := len(m.Text)
	for key, value := range m.Headers {
		n += len(key) + len(value)
	}
	return n
}

// send publishes a mail.
func (s *outgoing) send() {
	n, err := s.publish()
	if n > 0 {
		s.tried = max(s.tried, s.flight[s.sent+n-1].seq)
	}
	s.due = time.Now().Add(s.pause)
	if err != nil {
		s.failed = true // tried again when the broker is there, or later
		if s.x.life.Err() == nil {
			s.x.log.Debug("mail to another host was not published", slog.String("host", s.host), slog.Any("error", err))
		}
		return
	}
	s.sent += n
}

// publish publishes the next mail and returns how many messages are in it.
func (s *outgoing) publish() (n int, err error) {
	header := mail{Host: s.x.opt.Host, Epoch: s.epoch, To: s.to}
	if s.sent > 0 {
		header.After = s.flight[s.sent-1].seq
	}
	next := s.flight[s.sent:]
	header.Again = next[0].seq <= s.tried
	var body []byte
	for n < len(next) && len(body) < mailBytes && (n == 0 || !s.large(s.sent+n)) {
		before := len(body)
		if body, err = appendMessage(body, next[n].seq, &next[n].m); err != nil {
			return 0, fmt.Errorf("message %s to %s: %w", next[n].m.ID, s.to, err)
		}
		if n > 0 && len(body) > 2*mailBytes {
			body = body[:before]
			break
		}
		n++
	}
	if len(body) > 2*mailBytes {
		return 1, s.publishParts(header, next[0].seq, body)
	}
	return n, s.post(header, body)
}

// publishParts publishes one message in several mails.
func (s *outgoing) publishParts(header mail, seq uint64, body []byte) error {
	header.Seq = seq
	header.Parts = (len(body) + mailBytes - 1) / mailBytes
	for ; header.Part < header.Parts; header.Part++ {
		piece := body[header.Part*mailBytes : min(len(body), (header.Part+1)*mailBytes)]
		if err := s.post(header, piece); err != nil {
			return err
		}
	}
	return nil
}

func (s *outgoing) post(header mail, body []byte) error {
	payload, err := header.encode(body)
	if err != nil {
		return err
	}
	return s.x.post(hostTopics+s.host+"/mail", payload)
}
