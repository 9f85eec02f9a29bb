package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// states are the retained states of this host's modules. The broker is told of the newest when it is there; what an earlier
// process has left there is cleared.
type states struct {
	broker *external
	path   string // of the file that names the topics that may be retained at the broker
	wake   chan struct{}

	mu    sync.Mutex
	all   map[string][]byte // by topic; empty: to be cleared
	dirty map[string]bool   // topics whose state the broker has not acknowledged
}

func openStates(k *external) (*states, error) {
	s := &states{broker: k, path: filepath.Join(k.dir, "states.json"), wake: make(chan struct{}, 1), all: map[string][]byte{}, dirty: map[string]bool{}}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var left []string
	if err == nil {
		err = json.Unmarshal(data, &left)
	}
	if err != nil {
		return nil, fmt.Errorf("read what is retained at the broker: %s: %w: remove it", s.path, err)
	}
	for _, topic := range left {
		s.all[topic], s.dirty[topic] = nil, true
	}
	return s, nil
}

// set says what the state at a topic is; empty: none.
func (s *states) set(topic string, state []byte) error {
	s.mu.Lock()
	_, known := s.all[topic]
	s.all[topic], s.dirty[topic] = state, true
	var err error
	if !known {
		err = s.save()
	}
	s.mu.Unlock()
	s.nudge()
	return err
}

// save notes the topics. It is called with mu held.
func (s *states) save() error {
	topics := make([]string, 0, len(s.all))
	for topic := range s.all {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	data, err := json.Marshal(topics)
	if err != nil {
		return fmt.Errorf("note what is retained at the broker: %w", err)
	}
	if err := folders.WriteFile(s.path, data); err != nil {
		return fmt.Errorf("note what is retained at the broker: %w", err)
	}
	return nil
}

func (s *states) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// again has all states told again: the broker may be another one, or have forgotten.
func (s *states) again() {
	s.mu.Lock()
	for topic := range s.all {
		s.dirty[topic] = true
	}
	s.mu.Unlock()
	s.nudge()
}

func (s *states) run() {
	for {
		select {
		case <-s.wake:
			s.tell(s.broker.life)
		case <-s.broker.life.Done():
			return
		}
	}
}

// tell publishes what the broker does not know yet.
func (s *states) tell(ctx context.Context) {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = map[string]bool{}
	s.mu.Unlock()
	for topic := range dirty {
		s.mu.Lock()
		state := s.all[topic]
		s.mu.Unlock()
		err := s.broker.topics.Publish(ctx, topic, state, 1, true)
		s.mu.Lock()
		switch {
		case err != nil:
			s.dirty[topic] = true // told at the end, or by the next process
		case len(state) == 0 && len(s.all[topic]) == 0:
			delete(s.all, topic)
			if err := s.save(); err != nil {
				s.broker.backend.log.Error("states at the broker", slog.Any("error", err))
			}
		}
		s.mu.Unlock()
	}
}

// last tells what is left to tell when the backend closes, if the broker takes it soon.
func (s *states) last() {
	if !s.broker.topics.State().Connected {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.tell(ctx)
}
