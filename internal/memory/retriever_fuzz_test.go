package memory

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Whatever a module asks for, by whatever parameters, is refused as invalid or answered with records that are there, none
// twice, and with numbers that JSON can carry.
func FuzzRetrieve(f *testing.F) {
	for _, seed := range []string{
		`{"vector": [1, 0], "k": 2, "by_time": {"oldest": true}}`,
		`{"vector": [1, 0], "k": 2, "time_weighted": {"decay": 1e300, "now": "2300-01-01T00:00:00Z", "all": true, "space": "cosine"}}`,
		`{"vector": [1, 1e38], "alpha_beta": {"alpha": -1e308, "beta": 1e308, "pi": 0.5, "seed": 7}}`,
		`{"vector": [0, -1], "k": 9, "marginal_relevance": {"half_life": 1, "importance": "n", "lambda": 0.1, "now": "1000-01-01T00:00:00Z"}}`,
		`{"vector": [3, 4], "since": "2030-01-01T00:00:00Z", "filter": {"op": "gt", "key": "n", "value": 1}, "alpha_beta": {}}`,
	} {
		f.Add([]byte(seed))
	}
	s := open(f, temp(f), Options{Embedder: Hashing(2)})
	huge := float32(math.MaxFloat32)
	add(f, s,
		api.Record{ID: "a", Vector: []float32{1, 0}, Time: start, Metadata: api.Metadata{"n": int64(3)}},
		api.Record{ID: "b", Vector: []float32{huge, -huge}, Time: start.Add(time.Hour), Metadata: api.Metadata{"n": math.MaxFloat64}},
		api.Record{ID: "c", Vector: []float32{math.SmallestNonzeroFloat32, 0}, Time: time.UnixMicro(0), Metadata: api.Metadata{"n": "x"}},
		api.Record{ID: "d", Text: "no vector of its own"},
	)
	f.Fuzz(func(t *testing.T, data []byte) {
		var r api.Retrieval
		if json.Unmarshal(data, &r) != nil {
			return
		}
		got, err := s.Retrieve(t.Context(), r)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if r.K > 0 && len(got) > r.K {
			t.Fatalf("%d records, asked for %d", len(got), r.K)
		}
		seen := map[string]bool{}
		for _, m := range got {
			if seen[m.ID] {
				t.Fatalf("%s comes twice", m.ID)
			}
			seen[m.ID] = true
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatal(err)
		}
	})
}
