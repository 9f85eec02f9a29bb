package coma

import (
	"context"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Retriever is a rule by which Memory.Retrieve chooses records: Latest, Oldest, TimeWeighted, AlphaBeta or
// MarginalRelevance. Their formulas and sources are in docs/memory.md.
type Retriever interface {
	rule(*api.Retrieval)
}

// TimeWeighted retrieves by distance × exp(age in seconds × Decay), the least first; a match's Score is that product.
// The Python framework's TimeWeightedRetriever is TimeWeighted{Decay: rate}.
type TimeWeighted struct {
	Decay float64   // a second; positive pushes old records back: 1e-5 doubles the distance of one 19 hours old
	Now   time.Time // when ages are taken; zero: the present
	All   bool      // weigh every record rather than the nearest 100
	Space Space     // what the distance is; the zero value is L2
}

// AlphaBeta draws records at random, without replacement, by what was retrieved often (social inheritance) and by how
// far they are from the text (self-inheritance): the probabilities are
//
//	Pi · softmax(Alpha × share of references) + (1 − Pi) · softmax(Beta × distance)
//
// The memory keeps count of the references: of how often each record was drawn by AlphaBeta, by any module, also
// before a restart. A record that never was counts as drawn once. A match's Score is the probability that it had in the
// first draw.
//
// The Python framework's AlphaBetaRetriever is AlphaBeta{Alpha: 1, Beta: 1, Pi: 0.5}. A positive Beta prefers what is
// far, as in its code, though its text says the opposite: give a negative one to prefer what is near.
type AlphaBeta struct {
	Alpha float64
	Beta  float64
	Pi    float64 // 0 to 1
	Seed  uint64  // the same seed, records and counts draw the same; 0: at random. Give each call one of its own
	All   bool    // draw from every record rather than from the nearest 100
	Space Space   // what the distance is; the zero value is L2
}

// MarginalRelevance retrieves by recency × relevance × importance, and passes over records that say the same as one that
// it has chosen already (maximal marginal relevance): what an agent should have in mind, without repetitions.
// It weighs every record. A match's Score is its marginal relevance when it was chosen, 1 at most.
type MarginalRelevance struct {
	HalfLife   time.Duration // the age at which a record counts half; 0: age does not count
	Importance string        // the metadata key of a positive number (without it: 1); "": importance does not count
	Lambda     float64       // how much relevance counts against novelty, to 1: relevance alone; 0 stands for 0.5
	Now        time.Time     // when ages are taken; zero: the present
}

// Space is what distance a Retriever reckons with.
type Space string

// The spaces. For vectors of length 1, as the default embedder makes them, L2 is twice Cosine.
const (
	L2     Space = "l2"     // the squared Euclidean distance, as Chroma has it by default
	Cosine Space = "cosine" // as Match.Distance
)

// Retrieve returns up to k records that matter for text by the rule of retriever, what matters most first. Options narrow
// the choice: a Condition, Since, Until, WithVectors.
func (m *Memory) Retrieve(ctx context.Context, retriever Retriever, text string, k int, options ...Option) ([]Match, error) {
	return m.retrieve(ctx, retriever, api.Query{Text: text, K: k}, options)
}

// RetrieveVector is Retrieve for a vector of the caller's own.
func (m *Memory) RetrieveVector(ctx context.Context, retriever Retriever, vector []float32, k int, options ...Option) ([]Match, error) {
	return m.retrieve(ctx, retriever, api.Query{Vector: vector, K: k}, options)
}

func (m *Memory) retrieve(ctx context.Context, retriever Retriever, q api.Query, options []Option) ([]Match, error) {
	c, err := chosen("retrieve records", options, "Since", "Until", "WithVectors")
	if err != nil {
		return nil, err
	}
	c.narrow(&q)
	r := api.Retrieval{Query: q}
	if retriever != nil {
		retriever.rule(&r)
	}
	return matchesOf(m.memory.Retrieve(ctx, r))
}

func (o Order) rule(r *api.Retrieval) { r.ByTime = &api.ByTime{Oldest: o.oldest} }

func (t TimeWeighted) rule(r *api.Retrieval) {
	r.TimeWeighted = &api.TimeWeighted{Decay: t.Decay, Now: t.Now, All: t.All, Space: api.Space(t.Space)}
}

func (a AlphaBeta) rule(r *api.Retrieval) {
	r.AlphaBeta = &api.AlphaBeta{Alpha: a.Alpha, Beta: a.Beta, Pi: a.Pi, Seed: a.Seed, All: a.All, Space: api.Space(a.Space)}
}

func (r MarginalRelevance) rule(to *api.Retrieval) {
	to.MarginalRelevance = &api.MarginalRelevance{HalfLife: r.HalfLife, Importance: r.Importance, Lambda: r.Lambda, Now: r.Now}
}
