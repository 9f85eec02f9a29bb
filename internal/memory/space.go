package memory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Names in the place of an embedder's.
const (
	NoEmbedder    = "none"  // texts are stored without a vector
	GivenEmbedder = "given" // vectors come from outside, nobody here can make such: a text needs one
)

func (s space) String() string {
	if s.Dimension == 0 {
		return fmt.Sprintf("%q", s.Embedder)
	}
	return fmt.Sprintf("%q (%d dimensions)", s.Embedder, s.Dimension)
}

// DimensionError says that a vector is not at home in a memory. It wraps api.ErrInvalid.
type DimensionError struct {
	Want int // of the memory's vectors
	Got  int
}

func (e DimensionError) Error() string {
	return fmt.Sprintf("expecting embedding with dimension of %d, got %d", e.Want, e.Got)
}

// Unwrap makes errors.Is find api.ErrInvalid.
func (e DimensionError) Unwrap() error { return api.ErrInvalid }

// errNoText is what a memory answers that has no embedder for texts.
var errNoText = fmt.Errorf("it has no embedder for texts: %w", api.ErrInvalid)

// asked is the embedder that the memory was opened with.
type asked struct {
	Embedder
	insist bool
}

// Speak changes Options.Embedder and Options.Insist while the memory is open.
func (s *Store) Speak(e Embedder, insist bool) {
	s.asked.Store(&asked{e, insist})
	s.warn()
}

// warn logs it when the memory can have no texts embedded.
func (s *Store) warn() {
	v := s.view.Load()
	if _, err := s.speaker(v); v.snap.Len() > 0 && err != nil && !errors.Is(err, errNoText) {
		s.log.Warn("text can be neither added to this memory nor searched", "memory", s.path, "error", err)
	}
}

// fresh is the embedder that the memory takes while it is empty.
func (s *Store) fresh(h header) string {
	asked := s.asked.Load()
	if h.declared != "" && !asked.insist {
		return h.declared
	}
	return asked.Name()
}

// spaceOf is the space of what v holds, or the one that it takes with its first record.
func (s *Store) spaceOf(v *view) space {
	sp := v.head.space
	if v.snap.Len() == 0 {
		sp = space{Embedder: s.fresh(v.head)}
	}
	if sp.Dimension == 0 {
		sp.Dimension = s.knownDimension(sp.Embedder)
	}
	return sp
}

// speaker returns the embedder that makes vectors for v. The error says what to do where there is none.
func (s *Store) speaker(v *view) (Embedder, error) {
	name := v.head.Embedder
	if v.snap.Len() == 0 {
		name = s.fresh(v.head)
	}
	if asked := s.asked.Load(); asked.insist && name != asked.Name() {
		return nil, s.mismatch(v)
	}
	switch name {
	case NoEmbedder:
		return nil, fmt.Errorf("memory %s keeps texts without vectors (embedder none; to change that: coma memory reembed): %w", s.name, errNoText)
	case GivenEmbedder:
		return nil, fmt.Errorf("memory %s has vectors that were given with their texts, and no embedder that makes such "+
			"(give vectors, or convert it with coma memory reembed): %w", s.name, errNoText)
	}
	e, err := s.resolve(name)
	if errors.Is(err, errUnknown) {
		return nil, s.mismatch(v)
	}
	if err != nil {
		return nil, fmt.Errorf("memory %s was made with embedder %q (to change that: coma memory reembed): %w", s.name, name, err)
	}
	if has, makes := v.head.Dimension, e.Dimension(); v.snap.Len() > 0 && has != 0 && makes != 0 && has != makes {
		return nil, s.mismatch(v)
	}
	return e, nil
}

func (s *Store) mismatch(v *view) error {
	asked := s.asked.Load()
	own := space{Embedder: asked.Name(), Dimension: asked.Dimension()}
	return fmt.Errorf("memory %s was made with embedder %s and is open with %s, whose vectors cannot be compared: "+
		"open it with the first, give vectors, or convert it with coma memory reembed: %w", s.name, v.head.space, own, api.ErrInvalid)
}

// errUnknown says that there is nobody to ask for embedders.
var errUnknown = errors.New("no such embedder")

// resolve finds an embedder by the name that a memory has for it.
func (s *Store) resolve(name string) (Embedder, error) {
	s.foundMu.Lock()
	defer s.foundMu.Unlock()
	if e := s.found[name]; e != nil {
		return e, nil
	}
	if asked := s.asked.Load(); name == asked.Name() {
		return asked.Embedder, nil
	}
	if s.embedders == nil {
		return nil, errUnknown
	}
	e, err := s.embedders(name)
	if err != nil {
		return nil, err
	}
	s.found[name] = e
	return e, nil
}

// knownDimension is the length of the vectors of the embedder with that name, 0 where that is not known.
func (s *Store) knownDimension(name string) int {
	if name == NoEmbedder || name == GivenEmbedder {
		return 0
	}
	e, err := s.resolve(name)
	if err != nil {
		return 0 // who needs the embedder itself is told why there is none
	}
	return e.Dimension()
}

// errMoved says that the memory has another embedder than the one that made the vectors of a write.
var errMoved = errors.New("the memory's embedder has just changed")

// settle finds the space of v with these drafts in it. That of vectors is chosen by the first of them.
func (s *Store) settle(b *batch, drafts []draft) (space, error) {
	sp := b.head.space
	if b.count == 0 {
		sp = space{Embedder: s.fresh(b.head)}
	}
	for _, d := range drafts {
		if d.embedder != "" && d.embedder != sp.Embedder {
			return sp, errMoved
		}
	}
	for _, d := range drafts {
		switch {
		case d.Vector == nil:
		case sp.Dimension == 0:
			sp.Dimension = len(d.Vector)
			if known := s.knownDimension(sp.Embedder); d.embedder == "" && known != 0 && known != sp.Dimension {
				sp.Embedder = GivenEmbedder
			}
		case len(d.Vector) != sp.Dimension:
			return sp, fmt.Errorf("record %q: %w", d.ID, DimensionError{Want: sp.Dimension, Got: len(d.Vector)})
		}
	}
	return sp, nil
}

// embed makes vectors of texts with e: nil for those that have no direction.
func (s *Store) embed(ctx context.Context, e Embedder, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	var ask []string
	var at []int
	for i, text := range texts {
		if strings.TrimSpace(text) != "" {
			ask, at = append(ask, text), append(at, i)
		}
	}
	if len(ask) == 0 {
		return vectors, nil
	}
	made, err := e.Embed(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("embed text with %q: %w", e.Name(), err)
	}
	if len(made) != len(ask) {
		return nil, fmt.Errorf("embed text with %q: it made %d vectors of %d texts", e.Name(), len(made), len(ask))
	}
	for i, v := range made {
		if want := e.Dimension(); want != 0 && len(v) != want || len(v) == 0 || len(v) > maxDimension {
			return nil, fmt.Errorf("embed text with %q: it made %d dimensions, not %d", e.Name(), len(v), want)
		}
		if isZero(v) {
			continue
		}
		if err := checkVector(v); err != nil {
			return nil, fmt.Errorf("embed text with %q: %w", e.Name(), err)
		}
		vectors[at[i]] = v
	}
	return vectors, nil
}

// Declare says whose vectors the memory, while it is empty, is about to be given: an embedder's name, GivenEmbedder or
// NoEmbedder. It is kept, also over Clear; Options.Insist goes before it. A memory with records has its embedder: another
// name is refused.
func (s *Store) Declare(ctx context.Context, embedder string) error {
	err := s.write(ctx, func(b *batch) error {
		if b.count > 0 && b.head.Embedder != embedder {
			return fmt.Errorf("it has %d records of embedder %s: %w", b.count, b.head.space, api.ErrInvalid)
		}
		if b.head.declared != embedder {
			b.sethead(func(h *header) { h.declared = embedder })
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("declare embedder %q of memory %s: %w", embedder, s.name, err)
	}
	return nil
}
