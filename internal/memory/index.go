package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/philippgille/chromem-go"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Index finds the nearest of the vectors that it holds, by cosine distance, exactly.
//
// All vectors have the dimension that the index was made for; zero, NaN and infinite ones are refused with an error
// that wraps api.ErrInvalid. Searches may run at the same time; the store makes no change while one runs.
type Index interface {
	// Add puts a vector in, or another in the place of the one with that id. The index keeps the slice: the caller does
	// not change it any more.
	Add(id string, vector []float32) error
	// Delete takes a vector out; an unknown id is no error.
	Delete(id string) error
	// Search returns the k nearest of those that keep accepts (nil: all), nearest first, equally near ones by id.
	// There are fewer hits where the index holds fewer.
	Search(ctx context.Context, vector []float32, k int, keep func(id string) bool) ([]Hit, error)
	// Len counts the vectors.
	Len() int
}

// Hit is one answer of a Search.
type Hit struct {
	ID       string
	Distance float64 // 0 (same direction) to 2 (opposite)
}

// chromemIndex is chromem-go in memory, guarded: its own persistence loses data, one bad vector spoils every later
// query, and it refuses to be asked for more than it holds.
type chromemIndex struct {
	dimension  int
	collection *chromem.Collection
}

func newChromem(dimension int) Index {
	noText := func(context.Context, string) ([]float32, error) { return nil, errors.New("index has no texts") }
	collection, err := chromem.NewDB().CreateCollection("memory", nil, noText)
	if err != nil {
		panic(err) // only an empty name is refused
	}
	return &chromemIndex{dimension: dimension, collection: collection}
}

func (x *chromemIndex) Len() int { return x.collection.Count() }

func (x *chromemIndex) Add(id string, vector []float32) error {
	u, err := x.checked(vector)
	if err != nil {
		return fmt.Errorf("index record %q: %w", id, err)
	}
	// A vector of unit length is shared with the caller, not copied, and no metadata are given: chromem costs 0.1 kB.
	if err := x.collection.AddDocument(context.Background(), chromem.Document{ID: id, Embedding: u}); err != nil {
		return fmt.Errorf("index record %q: %w", id, err)
	}
	return nil
}

func (x *chromemIndex) Delete(id string) error {
	// Never a non-nil where: chromem would delete everything.
	if err := x.collection.Delete(context.Background(), nil, nil, id); err != nil {
		return fmt.Errorf("delete record %q from index: %w", id, err)
	}
	return nil
}

// Search asks chromem for k, and for more as long as keep has left too few, or as the last one is as near as the k-th
// (chromem chooses among those by chance).
func (x *chromemIndex) Search(ctx context.Context, vector []float32, k int, keep func(id string) bool) ([]Hit, error) {
	u, err := x.checked(vector)
	if err != nil {
		return nil, fmt.Errorf("search index: %w", err)
	}
	count := x.collection.Count()
	if k < 1 || count == 0 {
		return nil, nil
	}
	want := min(count, k)
	if want < count {
		want++ // the one more shows whether the k-th is tied
	}
	for {
		results, err := x.collection.QueryEmbedding(ctx, u, want, nil, nil)
		if err = cmp.Or(ctx.Err(), err); err != nil { // chromem answers with a part when ctx ends
			return nil, fmt.Errorf("search index: %w", err)
		}
		hits := make([]Hit, 0, min(k+1, len(results)))
		for _, r := range results {
			if keep == nil || keep(r.ID) {
				hits = append(hits, Hit{ID: r.ID, Distance: distance(r.Similarity)})
			}
		}
		last := distance(results[len(results)-1].Similarity)
		if want == count || len(hits) >= k && hits[k-1].Distance < last {
			slices.SortFunc(hits, func(a, b Hit) int {
				return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.ID, b.ID))
			})
			return hits[:min(k, len(hits))], nil
		}
		want = min(count, 8*want)
	}
}

func (x *chromemIndex) checked(vector []float32) ([]float32, error) {
	if len(vector) != x.dimension {
		return nil, fmt.Errorf("vector has %d dimensions, not %d: %w", len(vector), x.dimension, api.ErrInvalid)
	}
	return unit(vector)
}

// distance is the cosine distance of a similarity, rid of what rounding adds at both ends.
func distance(similarity float32) float64 {
	return math.Min(2, math.Max(0, 1-float64(similarity)))
}
