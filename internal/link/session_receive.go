package link

import (
	"context"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// push notes a message that has come.
func (s *Session) push(m api.Message) {
	s.mu.Lock()
	last := max(s.done, s.hand)
	if n := len(s.queue); n > 0 {
		last = s.queue[n-1].Seq
	}
	if m.Seq > last {
		s.queue = append(s.queue, m)
	}
	s.mu.Unlock()
	s.wake()
}

// Receive implements api.Session.
func (s *Session) Receive(ctx context.Context) (api.Message, error) {
	if err := s.alone(ctx); err != nil {
		return api.Message{}, err
	}
	defer func() { <-s.receiving }()
	for {
		m, ok, err := s.take(ctx, true)
		if ok || err != nil {
			return m, err
		}
		select {
		case <-s.arrived:
		case <-s.wire.ended:
			return m, s.wire.err
		case <-ctx.Done():
			s.giveUp()
			return m, ctx.Err()
		}
	}
}

// alone waits until no other Receive is under way.
func (s *Session) alone(ctx context.Context) error {
	if s.mode == Guest {
		return fmt.Errorf("receive: %w: a guest has no mailbox", api.ErrInvalid)
	}
	if err := ctx.Err(); err != nil {
		s.mu.Lock()
		s.finish() // who asks for the next one is done with this one, also where there is no next one
		s.mu.Unlock()
		return err
	}
	select {
	case s.receiving <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TryReceive implements api.Session.
func (s *Session) TryReceive(ctx context.Context) (api.Message, bool, error) {
	if err := s.alone(ctx); err != nil {
		return api.Message{}, false, err
	}
	defer func() { <-s.receiving }()
	m, ok, err := s.take(ctx, false)
	if ok || err != nil {
		return m, ok, err
	}
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	// What the host has for us arrives before its answer does.
	if err := s.wire.call(ctx, methodPoll, nextParams{Ack: done}, nil); err != nil {
		return m, false, err
	}
	return s.take(ctx, false)
}

// finish notes that the module is done with the message in hand. The caller holds mu.
func (s *Session) finish() {
	if s.hand != 0 {
		s.done, s.hand = s.hand, 0
	}
}

// take finishes with the message in hand and takes the next one of the queue. With wait, where there is none, the host is
// told that one is waited for.
//
// What the host is told has left this process when take returns: should the message kill the module at once, the host
// knows which one it was.
func (s *Session) take(ctx context.Context, wait bool) (m api.Message, ok bool, err error) {
	s.mu.Lock()
	if err := s.closed; err != nil {
		s.mu.Unlock()
		return m, false, err
	}
	s.finish()
	told := s.waits // the host knows that the first message to come is in hand at once
	s.waits = false
	if len(s.queue) > 0 {
		m, ok = s.queue[0], true
		s.queue[0] = api.Message{}
		s.queue = s.queue[1:]
		s.hand = m.Seq
	} else {
		s.waits = wait
	}
	told = told || !ok && !wait
	if !told {
		s.tell(true)
	}
	s.mu.Unlock()
	if !told {
		s.wire.flush(ctx)
	}
	return m, ok, nil
}

// giveUp notes that a Receive no longer waits.
func (s *Session) giveUp() {
	s.mu.Lock()
	s.waits = false
	s.tell(false)
	s.mu.Unlock()
	// For as long as nothing stands in the way: ctx has ended already.
	ended, end := context.WithCancel(context.Background())
	end()
	s.wire.flush(ended)
}

// Deliver receives as Receive does, or without wait as TryReceive does, for a program that may end at any moment. The
// message is in hand only once deliver has returned nil: if it fails, or this process is killed before, the message is the
// next to be received.
func (s *Session) Deliver(ctx context.Context, wait bool, deliver func(api.Message) error) (ok bool, err error) {
	if err := s.alone(ctx); err != nil {
		return false, err
	}
	defer func() { <-s.receiving }()
	s.mu.Lock()
	s.finish()
	done := s.done
	s.mu.Unlock()
	// The host has heard of what is finished with when it answers, and has sent what is there.
	if err := s.wire.call(ctx, methodPoll, nextParams{Ack: done}, nil); err != nil {
		return false, err
	}
	for {
		m, ok, err := s.first()
		if err != nil || !ok && !wait {
			return false, err
		}
		if ok {
			if err := deliver(m); err != nil {
				return false, err
			}
			s.handed(ctx, m)
			return true, nil
		}
		select {
		case <-s.arrived:
		case <-s.wire.ended:
			return false, s.wire.err
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// first returns the first message of the queue, and leaves it there.
func (s *Session) first() (m api.Message, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil || len(s.queue) == 0 {
		return m, false, s.closed
	}
	return s.queue[0], true, nil
}

// handed notes that the module has m in hand.
func (s *Session) handed(ctx context.Context, m api.Message) {
	s.mu.Lock()
	s.hand = m.Seq
	if len(s.queue) > 0 && s.queue[0].Seq == m.Seq { // else the connection was lost meanwhile
		s.queue[0] = api.Message{}
		s.queue = s.queue[1:]
	}
	s.tell(true)
	s.mu.Unlock()
	s.wire.flush(ctx)
}

// Pending implements api.Session.
func (s *Session) Pending(ctx context.Context) (int, error) {
	var answer count
	err := s.wire.call(ctx, methodPending, nil, &answer)
	return answer.Count, err
}
