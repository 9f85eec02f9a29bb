package exchange

import (
	"bytes"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const (
	// queued is how many mails of a stream wait while its mailbox is full; what comes beyond them is sent again later.
	queued = 2 * maxEncoded / mailBytes
	// maxStreams bounds the streams that are received.
	maxStreams = 1 << 16
	// maxAssembled is how many bytes of parts wait for the rest of their messages, of all streams together.
	maxAssembled = 4 * maxEncoded
	// stale is how old the last part may be when others need the room.
	stale = time.Minute
	// regap is how soon the same gap is told again.
	regap = time.Second
)

// incoming is the receiver's side of a stream.
type incoming struct {
	x *Exchange
	stream

	mu        sync.Mutex
	queue     []*mail
	working   bool   // a goroutine empties queue
	put       uint64 // all up to here is in the mailbox
	term      int    // grows when put goes back
	unsettled []settlement
	settling  bool      // a goroutine empties unsettled
	gap       uint64    // put, when a gap was told
	gapTold   time.Time // when

	parts    [][]byte // of a message that is not whole, in whatever order they come; under x.mu, as are the four below
	partOf   uint64
	partSize int // of parts, in bytes
	missing  int
	partTime time.Time // of the last that came
}

// settlement is messages in the mailbox that are not acknowledged yet.
type settlement struct {
	upto    uint64
	written func() error
}

// abandon lets go of what is not acknowledged. It comes again, so it does not matter whether it was written.
func (d settlement) abandon() {
	if d.written != nil {
		_ = d.written()
	}
}

// takeMail hands a mail to its stream. It is called by the broker's client and does not wait.
func (x *Exchange) takeMail(_ string, payload []byte) {
	m, err := readMail(payload)
	if err != nil {
		x.log.Warn("mail from another host cannot be read", slog.Any("error", err), slog.Int("bytes", len(payload)))
		return
	}
	s := x.incomingFrom(stream{m.Host, m.Epoch, m.To})
	if s == nil {
		x.log.Warn("mail from another host was not taken: there are too many streams", slog.String("host", m.Host), slog.String("to", m.To))
		return
	}
	s.mu.Lock()
	start := !s.working
	if len(s.queue) < queued {
		s.queue = append(s.queue, m)
	}
	s.working = true
	s.mu.Unlock()
	if start {
		x.goes(s.run)
	}
}

func (x *Exchange) incomingFrom(name stream) *incoming {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.incoming[name]
	if s == nil && len(x.incoming) < maxStreams {
		s = &incoming{x: x, stream: name, put: x.received.had(name)}
		x.incoming[name] = s
	}
	return s
}

// run empties the queue.
func (s *incoming) run() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || s.x.life.Err() != nil {
			s.working = false
			s.mu.Unlock()
			return
		}
		m := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.mu.Unlock()
		s.take(m)
	}
}

// take puts the messages of a mail into the mailbox.
func (s *incoming) take(m *mail) {
	s.mu.Lock()
	put, term := s.put, s.term
	if m.After > put {
		tell := s.gap != put || time.Since(s.gapTold) > regap
		if tell {
			s.gap, s.gapTold = put, time.Now()
		}
		s.mu.Unlock()
		if tell {
			s.answer(ack{Gap: true})
		}
		return
	}
	s.mu.Unlock()
	letters, whole := m.messages, true
	if m.Parts > 0 && m.Seq > put {
		letters, whole = s.assemble(m)
	}
	if !whole {
		return
	}
	for len(letters) > 0 && letters[0].seq <= put {
		letters = letters[1:]
	}
	var messages []api.Message
	for _, l := range letters {
		messages = append(messages, l.m)
	}
	var done settlement
	var err error
	if len(messages) > 0 {
		var n int
		n, done.written, err = s.x.opt.Local.Deliver(s.x.life, s.To, messages, m.Again)
		if n > 0 {
			done.upto = letters[n-1].seq
		}
	}
	s.settle(done, term)
	switch {
	case err == nil || s.x.life.Err() != nil:
	case errors.Is(err, api.ErrUnknown):
		s.answer(ack{Refused: err.Error()})
	default: // not acknowledged: it comes again
		s.x.log.Error("messages from another host were not taken", slog.String("to", s.To), slog.String("host", s.Host), slog.Any("error", err))
	}
}

// assemble adds a part. It returns the message once that is whole.
func (s *incoming) assemble(m *mail) ([]letter, bool) {
	x := s.x
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.partOf != m.Seq || len(s.parts) != m.Parts {
		s.scrap()
		s.parts, s.partOf, s.missing = make([][]byte, m.Parts), m.Seq, m.Parts
	}
	s.partTime = time.Now()
	if s.parts[m.Part] != nil {
		return nil, false
	}
	if s.partSize+len(m.piece) > maxEncoded || !x.room(len(m.piece)) {
		return nil, false // it is sent again
	}
	s.parts[m.Part] = m.piece
	s.partSize += len(m.piece)
	x.assembled += len(m.piece)
	if s.missing--; s.missing > 0 {
		return nil, false
	}
	letters, err := readMessages(bytes.Join(s.parts, nil), s.To)
	s.scrap()
	if err != nil || len(letters) != 1 || letters[0].seq != m.Seq {
		x.log.Warn("message from another host cannot be read", slog.String("to", s.To), slog.String("host", s.Host))
		return nil, false
	}
	return letters, true
}

// scrap forgets the parts of a message. The caller holds x.mu.
func (s *incoming) scrap() {
	s.x.assembled -= s.partSize
	s.parts, s.partOf, s.partSize, s.missing = nil, 0, 0, 0
}

// room makes room for n bytes of parts, if need be at the cost of messages whose other parts do not come. The caller
// holds x.mu.
func (x *Exchange) room(n int) bool {
	if x.assembled+n <= maxAssembled {
		return true
	}
	for _, s := range x.incoming {
		if s.parts != nil && time.Since(s.partTime) > stale {
			s.scrap()
		}
	}
	return x.assembled+n <= maxAssembled
}

// settle has what was put acknowledged once it is on disk. Nothing new (the zero value) has the sender told where it stands.
func (s *incoming) settle(done settlement, term int) {
	s.mu.Lock()
	if term != s.term { // what came before it was taken back: so is this, which the mailbox will know again
		s.mu.Unlock()
		done.abandon()
		return
	}
	if done.upto > 0 {
		s.put = done.upto
	}
	s.unsettled = append(s.unsettled, done)
	start := !s.settling
	s.settling = true
	s.mu.Unlock()
	if start {
		s.x.goes(s.acknowledge)
	}
}

// acknowledge empties unsettled. It is apart from run, so that the next messages need not wait for the disk.
func (s *incoming) acknowledge() {
	for {
		s.mu.Lock()
		unsettled := s.unsettled
		s.unsettled = nil
		if len(unsettled) == 0 || s.x.life.Err() != nil {
			s.settling = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if err := s.note(unsettled); err != nil {
			s.x.log.Error("messages from another host are not acknowledged", slog.String("to", s.To), slog.String("host", s.Host), slog.Any("error", err))
			continue
		}
		s.answer(ack{})
	}
}

// note waits until messages are on disk and notes that they have arrived.
func (s *incoming) note(unsettled []settlement) error {
	for i, done := range unsettled {
		if done.written == nil {
			continue
		}
		err := done.written()
		if err == nil {
			err = s.x.received.record(s.stream, done.upto)
		}
		if err != nil {
			s.takeBack()
			for _, later := range unsettled[i+1:] {
				later.abandon()
			}
			return err
		}
	}
	return nil
}

// takeBack goes back to what is noted: the rest comes again.
func (s *incoming) takeBack() {
	s.mu.Lock()
	unsettled := s.unsettled
	s.put, s.unsettled = s.x.received.had(s.stream), nil
	s.term++
	s.mu.Unlock()
	for _, later := range unsettled {
		later.abandon()
	}
}

// answer tells the sender where its stream stands.
func (s *incoming) answer(a ack) {
	a.Host, a.Epoch, a.To, a.Had = s.x.opt.Host, s.Epoch, s.To, s.x.received.had(s.stream)
	payload, err := a.encode()
	if err == nil {
		err = s.x.post(hostTopics+s.Host+"/acks", payload)
	}
	if err != nil && s.x.life.Err() == nil {
		s.x.log.Debug("acknowledgement was not published", slog.String("host", s.Host), slog.Any("error", err))
	}
}
