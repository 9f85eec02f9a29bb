package link

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// How far ahead of a module messages are pushed: so many, or so many bytes. One message is always pushed.
// To a program that continues, and most often wants one, one.
const (
	windowMessages = 128
	windowBytes    = 1 << 20
	windowContinue = 1
)

// behind is how many messages a module may have before it for the next to leave at once. To one with more it makes no
// difference, and what leaves together costs less.
const behind = 4

// seated is a module's seat and what has been pushed through the connection. Nothing here has a goroutine of its own:
// messages are pushed by whoever puts them into the mailbox, or makes room in the window.
type seated struct {
	Seat
	feed   Feed
	peer   *jsonrpc.Peer
	window int // messages

	again atomic.Bool // somebody found mu taken: who has it looks again
	mu    sync.Mutex  // held while messages are fetched and queued for writing, so that they leave in order
	ahead []pushed    // not finished with, in order
	bytes int
	begun uint64 // the message that the module's code has, or had last
	wants bool   // a Receive waits: the next message pushed is in the module's hand at once
	ended bool   // nothing is pushed any more
}

type pushed struct {
	seq   uint64
	bytes int
}

func (c *serving) open(ctx context.Context, p Claim) (result openResult, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seat != nil {
		return result, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "this connection has an open session already"}
	}
	switch p.Mode {
	case Seated, Guest, Continue:
	default:
		return result, fmt.Errorf("open: mode %q: %w: want none, %q or %q", p.Mode, api.ErrInvalid, Guest, Continue)
	}
	seat, err := c.host.Seat(ctx, p)
	if err != nil {
		return result, err
	}
	s := &seated{Seat: seat, feed: seat.Feed(), peer: c.peer, window: windowMessages}
	if p.Mode == Continue {
		s.window = windowContinue
	}
	hand := seat.Hand()
	if hand != 0 {
		s.ahead, s.begun = append(s.ahead, pushed{seq: hand}), hand
	}
	c.seat = s
	s.feed.OnReadable(s.push)
	return openResult{Version: c.server.version, Hand: hand}, nil
}

// halt ends the pushing.
func (s *seated) halt() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
}

// push pushes what is there. If another goroutine is at it, that one looks again.
func (s *seated) push() {
	s.again.Store(true)
	for s.again.Load() && s.mu.TryLock() {
		s.again.Store(false)
		s.fill()
		s.mu.Unlock()
	}
}

// unlock gives mu back, and looks again for those who found it taken.
func (s *seated) unlock() {
	s.mu.Unlock()
	if s.again.Load() {
		s.push()
	}
}

// fill pushes what is there, as far as the window has room, and lastly that the seat has ended. It is called with mu held,
// and waits for nothing.
func (s *seated) fill() {
	for !s.ended {
		if n := len(s.ahead); n >= s.window || n > 0 && s.bytes >= windowBytes {
			return // ack makes room
		}
		m, ok, err := s.feed.TryNext()
		if err != nil {
			s.ended = true
			// A module that has gone needs no telling.
			s.peer.Push(methodSeatEnded, jsonrpc.Error{Code: api.Code(err), Message: err.Error()}, true)
			return
		}
		if !ok {
			return
		}
		s.ahead = append(s.ahead, pushed{m.Seq, len(m.Text)})
		s.bytes += len(m.Text)
		if s.wants {
			s.begin(m.Seq)
		}
		w := toWire(m)
		w.To = "" // the module knows itself
		if s.peer.Push(methodMessage, w, len(s.ahead) <= behind) != nil {
			s.ended = true // the connection is lost; the message is still the mailbox's
		}
	}
}

// next notes that the module has finished with all up to seq, and waits for the one after.
func (s *seated) next(seq uint64) {
	s.feed.Asked()
	s.mu.Lock()
	s.ack(seq)
	if len(s.ahead) > 0 {
		s.begin(s.ahead[0].seq)
	} else {
		s.wants = true
	}
	s.unlock()
}

// begin notes that the module's code has the message seq. It is called with mu held.
func (s *seated) begin(seq uint64) {
	s.wants, s.begun = false, seq
	s.feed.Begin(seq)
}

// later notes that the module has finished with all up to seq and waits for nothing: not even what has been pushed in the
// meantime is in its hand.
func (s *seated) later(seq uint64) {
	s.mu.Lock()
	s.ack(seq)
	s.begin(0)
	s.unlock()
}

// ack is called with mu held, which is then given back by unlock.
func (s *seated) ack(seq uint64) {
	n := 0
	for n < len(s.ahead) && s.ahead[n].seq <= seq {
		s.bytes -= s.ahead[n].bytes
		n++
	}
	if n == 0 {
		return
	}
	s.ahead = append(s.ahead[:0], s.ahead[n:]...)
	s.feed.Ack(seq)
	s.again.Store(true) // there is room in the window
}

// seatMethod is a call of a module that is seated.
type seatMethod struct {
	shape
	answer func(ctx context.Context, s *seated, raw json.RawMessage) (any, error)
}

// seatCall is a seatMethod with parameters of the form P and a result of the form R.
func seatCall[P, R any](f func(ctx context.Context, s *seated, p P) (R, error)) seatMethod {
	return seatMethod{shapeOf[P, R](), func(ctx context.Context, s *seated, raw json.RawMessage) (any, error) {
		p, err := params[P](raw)
		if err != nil {
			return nil, err
		}
		return f(ctx, s, p)
	}}
}

var seatMethods = map[string]seatMethod{
	methodClose: seatCall(func(_ context.Context, s *seated, p closeParams) (none, error) {
		s.halt()
		s.mu.Lock()
		s.ack(p.Done)
		// Only the module knows what it had in hand: a message that was pushed to a Receive which then gave up was not.
		s.begin(p.Hand)
		s.unlock()
		return none{}, s.Close(p.Outcome)
	}),
	methodPoll: seatCall(func(ctx context.Context, s *seated, p nextParams) (none, error) {
		s.feed.Asked()
		s.mu.Lock()
		s.ack(p.Ack)
		s.unlock()
		if err := s.feed.Settle(ctx); err != nil {
			return none{}, err
		}
		s.mu.Lock()
		s.fill()
		s.unlock()
		return none{}, nil
	}),
	methodSend: {shapeOf[sendParams, none](), func(ctx context.Context, s *seated, raw json.RawMessage) (any, error) {
		var p sendParams
		if err := p.parse(raw); err != nil {
			return nil, invalidParams(err)
		}
		m, err := p.message()
		if err != nil {
			return nil, err
		}
		if p.Resent {
			return nil, s.Resend(ctx, m)
		}
		return nil, s.Send(ctx, m)
	}},
	methodPending: seatCall(func(ctx context.Context, s *seated, _ none) (count, error) {
		s.mu.Lock()
		defer s.unlock()
		n, err := s.Pending(ctx)
		n += len(s.ahead)
		if len(s.ahead) > 0 && s.ahead[0].seq == s.begun {
			n-- // it is in the module's hand
		}
		return count{n}, err
	}),
	methodPublish: seatCall(func(ctx context.Context, s *seated, p api.Publication) (none, error) {
		return none{}, s.Publish(ctx, p)
	}),
	methodSubscribe: seatCall(func(ctx context.Context, s *seated, p pattern) (none, error) {
		return none{}, s.Subscribe(ctx, p.Pattern)
	}),
	methodUnsubscribe: seatCall(func(ctx context.Context, s *seated, p pattern) (none, error) {
		return none{}, s.Unsubscribe(ctx, p.Pattern)
	}),
	methodInput: seatCall(func(ctx context.Context, s *seated, p textParams) (textParams, error) {
		line, err := s.Input(ctx, p.Text)
		return textParams{line}, err
	}),
	methodKeep: seatCall(func(ctx context.Context, s *seated, p kept) (none, error) {
		if !p.Found {
			return none{}, s.Keep(ctx, p.Key, nil)
		}
		if p.Value == nil {
			p.Value = []byte{}
		}
		return none{}, s.Keep(ctx, p.Key, p.Value)
	}),
	methodKept: seatCall(func(ctx context.Context, s *seated, p kept) (kept, error) {
		value, found, err := s.Kept(ctx, p.Key)
		return kept{Key: p.Key, Value: value, Found: found}, err
	}),
}
