package link

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// How far ahead of a module messages are pushed: so many, or so many bytes. One message is always pushed.
const (
	windowMessages = 128
	windowBytes    = 1 << 20
)

// seated is a module's seat and what has been pushed through the connection.
type seated struct {
	Seat
	feed Feed
	peer *jsonrpc.Peer
	stop context.CancelFunc
	done chan struct{} // closed when the pusher has returned
	room chan struct{} // capacity 1: the window may have room

	mu    sync.Mutex // held while messages are fetched and queued for writing, so that they leave in order
	ahead []pushed   // not finished with, in order
	bytes int
	begun uint64 // the message that the module's code has, or had last
	wants bool   // a Receive waits: the next message pushed is in the module's hand at once
}

type pushed struct {
	seq   uint64
	bytes int
}

func (c *serving) open(ctx context.Context, raw json.RawMessage) (any, error) {
	p, err := params[openParams](raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seat != nil {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "this connection has an open session already"}
	}
	seat, err := c.host.Seat(ctx, p.Identity, p.Resume, p.Hand, p.Done)
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(c.server.life)
	s := &seated{Seat: seat, feed: seat.Feed(), peer: c.peer, stop: stop, done: make(chan struct{}), room: make(chan struct{}, 1)}
	if p.Resume && p.Hand != 0 {
		s.ahead, s.begun = append(s.ahead, pushed{seq: p.Hand}), p.Hand
	}
	c.seat = s
	go s.push(life)
	return openResult{Version: c.server.version}, nil
}

// halt ends the pushing.
func (s *seated) halt() {
	s.stop()
	<-s.done
}

// push sends messages as they come, within the window, until the seat is given up or taken over.
func (s *seated) push(ctx context.Context) {
	defer close(s.done)
	for {
		if err := s.feed.Wait(ctx); err != nil {
			if ctx.Err() == nil {
				// A module that has gone needs no telling.
				s.peer.Notify(ctx, methodSeatEnded, jsonrpc.Error{Code: api.Code(err), Message: err.Error()})
			}
			return
		}
		s.mu.Lock()
		full, err := s.fill(ctx)
		s.mu.Unlock()
		if err != nil {
			if ctx.Err() != nil || jsonrpc.Lost(err) {
				return
			}
			continue // Wait returns what it is
		}
		if full {
			select {
			case <-s.room:
			case <-s.feed.Done():
			case <-ctx.Done():
				return
			}
		}
	}
}

// fill pushes what is there, as far as the window has room. It is called with mu held.
func (s *seated) fill(ctx context.Context) (full bool, err error) {
	for {
		if n := len(s.ahead); n >= windowMessages || n > 0 && s.bytes >= windowBytes {
			return true, nil
		}
		m, ok, err := s.feed.TryNext()
		if err != nil || !ok {
			return false, err
		}
		s.ahead = append(s.ahead, pushed{m.Seq, len(m.Text)})
		s.bytes += len(m.Text)
		if s.wants {
			s.begin(m.Seq)
		}
		w := toWire(m)
		w.To = "" // the module knows itself
		if err := s.peer.Notify(ctx, methodMessage, w); err != nil {
			return false, err // the connection is lost; the message is still the mailbox's
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
	s.mu.Unlock()
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
	s.mu.Unlock()
}

// ack is called with mu held.
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
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// seatMethod answers a call of a module that is seated.
type seatMethod func(ctx context.Context, s *seated, raw json.RawMessage) (any, error)

// seatCall is a seatMethod whose parameters have the form P.
func seatCall[P any](f func(ctx context.Context, s *seated, p P) (any, error)) seatMethod {
	return func(ctx context.Context, s *seated, raw json.RawMessage) (any, error) {
		p, err := params[P](raw)
		if err != nil {
			return nil, err
		}
		return f(ctx, s, p)
	}
}

var seatMethods = map[string]seatMethod{
	methodClose: seatCall(func(_ context.Context, s *seated, p closeParams) (any, error) {
		s.halt()
		s.mu.Lock()
		s.ack(p.Done)
		// Only the module knows what it had in hand: a message that was pushed to a Receive which then gave up was not.
		s.begin(p.Hand)
		s.mu.Unlock()
		return nil, s.Close(p.Outcome)
	}),
	methodPoll: seatCall(func(ctx context.Context, s *seated, p nextParams) (any, error) {
		s.feed.Asked()
		s.mu.Lock()
		s.ack(p.Ack)
		s.mu.Unlock()
		if err := s.feed.Settle(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		_, err := s.fill(ctx)
		return nil, err
	}),
	methodSend: func(ctx context.Context, s *seated, raw json.RawMessage) (any, error) {
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
	},
	methodPending: seatCall(func(ctx context.Context, s *seated, _ struct{}) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		n, err := s.Pending(ctx)
		n += len(s.ahead)
		if len(s.ahead) > 0 && s.ahead[0].seq == s.begun {
			n-- // it is in the module's hand
		}
		return count{n}, err
	}),
	methodPublish: seatCall(func(ctx context.Context, s *seated, p api.Publication) (any, error) {
		return nil, s.Publish(ctx, p)
	}),
	methodSubscribe: seatCall(func(ctx context.Context, s *seated, p pattern) (any, error) {
		return nil, s.Subscribe(ctx, p.Pattern)
	}),
	methodUnsubscribe: seatCall(func(ctx context.Context, s *seated, p pattern) (any, error) {
		return nil, s.Unsubscribe(ctx, p.Pattern)
	}),
	methodInput: seatCall(func(ctx context.Context, s *seated, p textParams) (any, error) {
		line, err := s.Input(ctx, p.Text)
		return textParams{line}, err
	}),
	methodKeep: seatCall(func(ctx context.Context, s *seated, p kept) (any, error) {
		if !p.Found {
			return nil, s.Keep(ctx, p.Key, nil)
		}
		if p.Value == nil {
			p.Value = []byte{}
		}
		return nil, s.Keep(ctx, p.Key, p.Value)
	}),
	methodKept: seatCall(func(ctx context.Context, s *seated, p kept) (any, error) {
		value, found, err := s.Kept(ctx, p.Key)
		return kept{Key: p.Key, Value: value, Found: found}, err
	}),
}

// memoryMethod answers a call on a memory.
type memoryMethod func(ctx context.Context, memory api.Memory, p memoryParams) (any, error)

var memoryMethods = map[string]memoryMethod{
	methodMemoryAdd: func(ctx context.Context, m api.Memory, p memoryParams) (any, error) {
		return m.Add(ctx, p.Records)
	},
	methodMemoryGet: func(ctx context.Context, m api.Memory, p memoryParams) (any, error) {
		return m.Get(ctx, p.Select)
	},
	methodMemoryQuery: func(ctx context.Context, m api.Memory, p memoryParams) (any, error) {
		return m.Query(ctx, p.Query)
	},
	methodMemoryUpdate: func(ctx context.Context, m api.Memory, p memoryParams) (any, error) {
		return nil, m.Update(ctx, p.Records)
	},
	methodMemoryDelete: func(ctx context.Context, m api.Memory, p memoryParams) (any, error) {
		n, err := m.Delete(ctx, p.IDs, p.Filter)
		return count{n}, err
	},
	methodMemoryCount: func(ctx context.Context, m api.Memory, p memoryParams) (any, error) {
		n, err := m.Count(ctx, p.Filter)
		return count{n}, err
	},
	methodMemoryClear: func(ctx context.Context, m api.Memory, p memoryParams) (any, error) {
		n, err := m.Clear(ctx)
		return count{n}, err
	},
}
