package api

import "time"

// Retrieval asks for records by a retriever: exactly one of ByTime, TimeWeighted, AlphaBeta and MarginalRelevance. What they
// reckon, and the sources of the formulas, is told in docs/memory.md.
type Retrieval struct {
	Query

	ByTime            *ByTime            `json:"by_time,omitempty"`            // by time alone
	TimeWeighted      *TimeWeighted      `json:"time_weighted,omitempty"`      // by nearness and age
	AlphaBeta         *AlphaBeta         `json:"alpha_beta,omitempty"`         // at random, by nearness and by what was retrieved often
	MarginalRelevance *MarginalRelevance `json:"marginal_relevance,omitempty"` // by recency, relevance and importance, without repetitions
}

// ByTime retrieves the newest records, newest first, or the oldest, oldest first. It reads neither the text nor the vector.
type ByTime struct {
	Oldest bool `json:"oldest,omitempty"` // the oldest rather than the newest
}

// Space is what distance a retriever reckons with; "l2" where none is given.
type Space string

const (
	L2     Space = "l2"     // the squared Euclidean distance, as Chroma's own default
	Cosine Space = "cosine" // 1 − the cosine of the angle; half of L2 where vectors have length 1
)

// TimeWeighted retrieves by distance × exp(age × Decay), the least first. The score of a match is that product.
type TimeWeighted struct {
	Decay float64   `json:"decay"`           // a second; positive: old records are pushed back
	Now   time.Time `json:"now,omitzero"`    // when ages are taken; the host's present if not given
	All   bool      `json:"all,omitempty"`   // weigh every record rather than the nearest 100
	Space Space     `json:"space,omitempty"` // of the distance
}

// AlphaBeta draws records at random, without replacement, with probabilities that mix social inheritance (what was
// retrieved often) and self-inheritance (how far a record is from what was asked for):
//
//	Pi · softmax(Alpha × share of references) + (1 − Pi) · softmax(Beta × distance)
//
// The memory counts how often each record was drawn; one that never was counts as drawn once. The score of a
// match is the probability that it had in the first draw.
type AlphaBeta struct {
	Alpha float64 `json:"alpha"`                           // positive prefers what was retrieved often
	Beta  float64 `json:"beta"`                            // negative prefers what is near
	Pi    float64 `json:"pi" schema:"minimum=0,maximum=1"` // the weight of what was retrieved often, beside what is near
	Seed  uint64  `json:"seed,omitempty"`                  // the same seed, memory and counts draw the same records; 0: at random
	All   bool    `json:"all,omitempty"`                   // draw from every record rather than from the nearest 100
	Space Space   `json:"space,omitempty"`                 // of the distance
}

// MarginalRelevance retrieves by recency × relevance × importance and passes over what says the same as a record that it
// has chosen already (maximal marginal relevance). The score of a match is its marginal relevance when it was chosen.
type MarginalRelevance struct {
	HalfLife   time.Duration `json:"half_life,omitempty" schema:"minimum=0"`        // the age at which a record counts half, in nanoseconds; 0: age does not count
	Importance string        `json:"importance,omitempty"`                          // the metadata key of a positive number; "": importance does not count
	Lambda     float64       `json:"lambda,omitempty" schema:"minimum=0,maximum=1"` // 1 does not look at what was chosen already; 0 stands for 0.5
	Now        time.Time     `json:"now,omitzero"`                                  // when ages are taken; the host's present if not given
}
