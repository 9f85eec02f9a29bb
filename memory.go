package coma

import (
	"context"
	"fmt"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Memory is the agent's shared memory: records of text, found again by time, by what they say, or by their metadata.
// What Add has returned for is on disk. All modules of an agent see the same records at once.
type Memory struct {
	memory api.Memory
}

// Record is one entry of a memory.
type Record struct {
	ID       string    // unique; made by Add if it is empty
	Text     string    // valid UTF-8
	Vector   []float32 // made from Text by Add if it is nil; in answers only with WithVectors
	Time     time.Time // now, if it is zero; kept to the microsecond
	Expires  time.Time // from then on the record is not there any more; zero: as the memory's ttl in coma.yaml says
	Metadata Metadata  // what else there is to know
}

// Metadata are a record's keys and values: strings, integers, floats and bools.
type Metadata map[string]any

// Match is a record that Query or Retrieve found.
type Match struct {
	Record
	Distance float64 // cosine distance to what was asked for: 0 is the same direction, 2 the opposite
	Score    float64 // what a Retriever went by, as its type says; 0 from Query
}

// Detail is what Add is told about a record beside its text: Metadata, or TTL.
type Detail interface {
	detail(*Record)
}

func (m Metadata) detail(r *Record) {
	for key, value := range m {
		r.Metadata[key] = value
	}
}

type ttl time.Duration

func (t ttl) detail(r *Record) { r.Expires = time.Now().Add(time.Duration(t)) }

// TTL makes Add remember for that long only.
func TTL(d time.Duration) Detail { return ttl(d) }

// Add remembers text, with metadata if any are given (of a key that comes twice the later), and returns the new
// record's ID.
func (m *Memory) Add(ctx context.Context, text string, details ...Detail) (string, error) {
	r := Record{Text: text, Metadata: Metadata{}}
	for _, d := range details {
		if d != nil {
			d.detail(&r)
		}
	}
	ids, err := m.AddRecords(ctx, r)
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// AddRecords remembers all records, or none if one of them is wrong, and returns their IDs in order. A record whose ID
// is there already is left as it is.
func (m *Memory) AddRecords(ctx context.Context, records ...Record) ([]string, error) {
	return m.memory.Add(ctx, wireRecords(records))
}

// Get returns the newest limit records (all, if limit is 0), newest first. Options narrow the choice: a Condition,
// Oldest, Since, Until, IDs, WithVectors.
func (m *Memory) Get(ctx context.Context, limit int, options ...Option) ([]Record, error) {
	c, err := chosen("get records", options, "Oldest", "Latest", "Since", "Until", "IDs", "WithVectors")
	if err != nil || c.nothing() {
		return nil, err
	}
	c.Limit, c.Filter = limit, c.filter()
	found, err := m.memory.Get(ctx, c.Selection)
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(found))
	for i, r := range found {
		records[i] = record(r)
	}
	return records, nil
}

// Query returns the k records that are nearest to text, nearest first. Options narrow the choice: a Condition,
// Since, Until, WithVectors.
func (m *Memory) Query(ctx context.Context, text string, k int, options ...Option) ([]Match, error) {
	return m.query(ctx, api.Query{Text: text, K: k}, options)
}

// QueryVector is Query for a vector of the caller's own, in as many dimensions as the memory's.
func (m *Memory) QueryVector(ctx context.Context, vector []float32, k int, options ...Option) ([]Match, error) {
	if len(vector) == 0 { // the host would take it for a Query of no text, which is near to nothing
		return nil, fmt.Errorf("query records: %w: the vector is empty", ErrInvalid)
	}
	return m.query(ctx, api.Query{Vector: vector, K: k}, options)
}

func (m *Memory) query(ctx context.Context, q api.Query, options []Option) ([]Match, error) {
	c, err := chosen("query records", options, "Since", "Until", "WithVectors")
	if err != nil {
		return nil, err
	}
	c.narrow(&q)
	return matchesOf(m.memory.Query(ctx, q))
}

// Update changes the records with the given IDs: fields that are not zero replace what was there; a new text is
// embedded again. If an ID is unknown, nothing is changed and the error is ErrNotFound.
func (m *Memory) Update(ctx context.Context, records ...Record) error {
	return m.memory.Update(ctx, wireRecords(records))
}

// Delete forgets the records that options choose (IDs, or a Condition; at least one is needed) and returns how many
// there were.
func (m *Memory) Delete(ctx context.Context, options ...Option) (int, error) {
	c, err := chosen("delete records", options, "IDs")
	if err != nil || c.nothing() {
		return 0, err
	}
	return m.memory.Delete(ctx, c.IDs, c.filter())
}

// Count counts the records that fulfil all conditions; without one, all records.
func (m *Memory) Count(ctx context.Context, conditions ...Condition) (int, error) {
	var c choice
	for _, condition := range conditions {
		condition.choose(&c)
	}
	return m.memory.Count(ctx, c.filter())
}

// Clear forgets everything and returns how many records there were.
func (m *Memory) Clear(ctx context.Context) (int, error) { return m.memory.Clear(ctx) }

func wireRecords(records []Record) []api.Record {
	wire := make([]api.Record, len(records))
	for i, r := range records {
		wire[i] = api.Record{ID: r.ID, Text: r.Text, Vector: r.Vector, Time: r.Time, Expires: r.Expires, Metadata: api.Metadata(r.Metadata)}
	}
	return wire
}

func matchesOf(found []api.Match, err error) ([]Match, error) {
	if err != nil {
		return nil, err
	}
	all := make([]Match, len(found))
	for i, f := range found {
		all[i] = Match{Record: record(f.Record), Distance: f.Distance, Score: f.Score}
	}
	return all, nil
}

func record(r api.Record) Record {
	return Record{ID: r.ID, Text: r.Text, Vector: r.Vector, Time: r.Time, Expires: r.Expires, Metadata: Metadata(r.Metadata)}
}
