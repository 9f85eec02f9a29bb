package api

import "time"

// Retrieval asks for up to K records by a retriever: exactly one of the fields below Query says which. Its formulas and
// their sources are in docs/memory.md.
type Retrieval struct {
	Query

	ByTime            *ByTime            `json:"by_time,omitempty"`
	TimeWeighted      *TimeWeighted      `json:"time_weighted,omitempty"`
	AlphaBeta         *AlphaBeta         `json:"alpha_beta,omitempty"`
	MarginalRelevance *MarginalRelevance `json:"marginal_relevance,omitempty"`
}

// ByTime retrieves the newest records, newest first, or the oldest, oldest first. It reads neither Text nor Vector.
type ByTime struct {
	Oldest bool `json:"oldest,omitempty"`
}

// Space is what distance a retriever reckons with.
type Space string

const (
	L2     Space = "l2"     // the squared Euclidean distance, as Chroma's own default; also the empty Space
	Cosine Space = "cosine" // 1 − the cosine of the angle; half of L2 where vectors have length 1
)

// TimeWeighted retrieves by distance × exp(age × Decay), the least first. A match's Score is that product.
type TimeWeighted struct {
	Decay float64   `json:"decay"`         // a second; positive: old records are pushed back
	Now   time.Time `json:"now,omitzero"`  // when ages are taken; zero: the host's present
	All   bool      `json:"all,omitempty"` // weigh every record rather than the nearest 100
	Space Space     `json:"space,omitempty"`
}

// AlphaBeta draws records at random, without replacement, with probabilities that mix social inheritance (what was
// retrieved often) and self-inheritance (how far a record is from what was asked for):
//
//	Pi · softmax(Alpha × share of references) + (1 − Pi) · softmax(Beta × distance)
//
// The memory counts how often each record was drawn; one that never was counts as drawn once. A match's Score is the
// probability that it had in the first draw.
type AlphaBeta struct {
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`           // negative prefers what is near
	Pi    float64 `json:"pi"`             // 0 to 1
	Seed  uint64  `json:"seed,omitempty"` // the same seed, memory and counts draw the same records; 0: at random
	All   bool    `json:"all,omitempty"`  // draw from every record rather than from the nearest 100
	Space Space   `json:"space,omitempty"`
}

// MarginalRelevance retrieves by recency × relevance × importance and passes over what says the same as a record that it
// has chosen already (maximal marginal relevance). A match's Score is its marginal relevance when it was chosen.
type MarginalRelevance struct {
	HalfLife   time.Duration `json:"half_life,omitempty"`  // the age at which a record counts half; 0: age does not count
	Importance string        `json:"importance,omitempty"` // the metadata key of a positive number; "": importance does not count
	Lambda     float64       `json:"lambda,omitempty"`     // 0 to 1: 1 does not look at what was chosen already; 0 stands for 0.5
	Now        time.Time     `json:"now,omitzero"`         // when ages are taken; zero: the host's present
}
