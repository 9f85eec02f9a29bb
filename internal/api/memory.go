package api

import (
	"context"
	"time"
)

// Memory is one agent's shared records.
type Memory interface {
	// Add stores records and returns their IDs, in order. Missing IDs, times and vectors are filled in. A record
	// whose ID exists already is left as it is (so that an Add can be repeated safely).
	Add(ctx context.Context, records []Record) ([]string, error)
	// Get returns records in time order, as Selection says.
	Get(ctx context.Context, sel Selection) ([]Record, error)
	// Query returns the k nearest records, nearest first.
	Query(ctx context.Context, q Query) ([]Match, error)
	// Retrieve returns up to k records by a retriever: a rule that weighs more than nearness. What matters most comes first.
	Retrieve(ctx context.Context, r Retrieval) ([]Match, error)
	// Update replaces text, metadata, time or vector of existing records; zero fields stay as they are. A new text
	// without a vector is embedded again. An unknown ID is ErrNotFound, and nothing is changed.
	Update(ctx context.Context, records []Record) error
	// Delete removes records by ID or filter (at least one of the two) and returns how many there were.
	Delete(ctx context.Context, ids []string, filter *Filter) (int, error)
	// Count counts the records that match filter; nil counts all.
	Count(ctx context.Context, filter *Filter) (int, error)
	// Clear removes all records and returns how many there were. The memory then takes any embedder.
	Clear(ctx context.Context) (int, error)
}

// Record is one entry of a memory.
type Record struct {
	ID       string    `json:"id,omitempty"`           // unique in its memory; made if not given
	Text     string    `json:"text" schema:"optional"` // what is remembered
	Vector   []float32 `json:"vector,omitempty"`       // of the text, by the memory's embedder if not given; in answers only where asked for
	Time     time.Time `json:"time,omitzero"`          // of what is remembered, to the microsecond; the host's present if not given
	Expires  time.Time `json:"expires,omitzero"`       // from then on the record is not there any more; as the memory's settings say if not given
	Metadata Metadata  `json:"metadata,omitempty"`     // whatever else is known of it
}

// Selection says which records are meant; what is not given does not choose.
type Selection struct {
	IDs     []string  `json:"ids,omitempty"`                                 // of the records
	Limit   int       `json:"limit,omitempty" schema:"minimum=0"`            // how many at most; 0: all
	Offset  int       `json:"offset,omitempty" schema:"minimum=0,default=0"` // records to pass over first
	Oldest  bool      `json:"oldest,omitempty"`                              // the oldest rather than the newest; the answer goes from that end
	Since   time.Time `json:"since,omitzero"`                                // of this time or later
	Until   time.Time `json:"until,omitzero"`                                // before this time
	Filter  *Filter   `json:"filter,omitempty"`                              // what the records must be like
	Vectors bool      `json:"vectors,omitempty"`                             // answer with vectors
}

// Query asks for the records nearest to Text, or to Vector where that is given.
type Query struct {
	Text    string    `json:"text,omitempty"`                            // what the records found are to be like
	Vector  []float32 `json:"vector,omitempty"`                          // instead of the text's own; as long as those of the memory
	K       int       `json:"k,omitempty" schema:"minimum=0,default=10"` // how many at most
	Since   time.Time `json:"since,omitzero"`                            // of this time or later
	Until   time.Time `json:"until,omitzero"`                            // before this time
	Filter  *Filter   `json:"filter,omitempty"`                          // what the records must be like
	Vectors bool      `json:"vectors,omitempty"`                         // answer with vectors
}

// Match is a record that was found, and its distance to what was asked for.
type Match struct {
	Record
	Distance float64 `json:"distance"`        // cosine distance, 0 (same direction) to 2 (opposite); 0 where nothing was compared
	Score    float64 `json:"score,omitempty"` // what a retriever went by; the retriever says what that is
}

// Filter is a condition on a record, as a tree.
//
// It says by Op what must hold: eq, ne, gt, gte, lt, lte (Key, Value), in, nin (Key, Value: a list), contains, notcontains
// (Value: part of the text; no Key), regex, notregex (Value: a pattern of RE2's syntax that is found somewhere in the text;
// no Key) or and, or (Filters). Numbers compare by value (2 equals 2.0). ne and nin match records without the key.
type Filter struct {
	Op      string   `json:"op" schema:"enum=eq|ne|gt|gte|lt|lte|in|nin|contains|notcontains|regex|notregex|and|or"` // what must hold
	Key     string   `json:"key,omitempty"`                                                                          // of the record's metadata
	Value   any      `json:"value,omitempty"`                                                                        // what is compared with
	Filters []Filter `json:"filters,omitempty"`                                                                      // those that must hold (and), or one of them (or)
}
