package memory

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestRetrieversByTime(t *testing.T) {
	s := open(t, temp(t), Options{})
	for i := range 12 {
		add(t, s, api.Record{Text: fmt.Sprint(i), Time: start.Add(time.Duration(i) * time.Second)})
	}
	latest := retrieve(t, s, api.Retrieval{ByTime: &api.ByTime{}})
	if texts(recordsOf(latest)) != "11 10 9 8 7 6 5 4 3 2" {
		t.Errorf("the latest: %v", texts(recordsOf(latest)))
	}
	oldest := retrieve(t, s, api.Retrieval{ByTime: &api.ByTime{Oldest: true}, Query: api.Query{
		K: 2, Filter: &api.Filter{Op: "contains", Value: "1"}, Until: start.Add(11 * time.Second),
	}})
	if texts(recordsOf(oldest)) != "1 10" {
		t.Errorf("the oldest: %v", texts(recordsOf(oldest)))
	}
}

// golden is what testdata/retrievers/golden.py writes.
type golden struct {
	Now     float64
	Records []struct {
		ID     string
		Vector []float32
		Time   float64
	}
	Query        []float32
	TimeWeighted []struct {
		Decay float64
		IDs   []string
	} `json:"time_weighted"`
	AlphaBeta []struct {
		Alpha, Beta, Pi float64
		K               int
		Uniform         []float64
		Calls           []struct {
			IDs []string
			P   []float64
		}
	} `json:"alpha_beta"`
}

// The Python framework's own retrievers, with numpy's chance, choose the same records in the same order.
func TestAsThePythonFramework(t *testing.T) {
	data, err := os.ReadFile("testdata/retrievers/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want golden
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	at := func(seconds float64) time.Time { return time.UnixMicro(int64(math.Round(seconds * 1e6))) }
	fresh := func() *Store {
		s := open(t, temp(t), Options{Embedder: Hashing(len(want.Query))})
		var records []api.Record
		for _, r := range want.Records {
			records = append(records, api.Record{ID: r.ID, Vector: r.Vector, Time: at(r.Time)})
		}
		add(t, s, records...)
		return s
	}
	s := fresh()
	for _, w := range want.TimeWeighted {
		got := retrieve(t, s, api.Retrieval{
			Query:        api.Query{Vector: want.Query, K: len(w.IDs)},
			TimeWeighted: &api.TimeWeighted{Decay: w.Decay, Now: at(want.Now)},
		})
		if !slices.Equal(idsOf(got), w.IDs) {
			t.Errorf("time-weighted with decay %v: %v, want %v", w.Decay, idsOf(got), w.IDs)
		}
	}
	for i, w := range want.AlphaBeta {
		s := fresh()
		uniform := func() float64 {
			u := w.Uniform[0]
			w.Uniform = w.Uniform[1:]
			return u
		}
		for j, call := range w.Calls {
			got, err := s.alphaBeta(t.Context(), api.Query{Vector: want.Query, K: w.K}, api.AlphaBeta{Alpha: w.Alpha, Beta: w.Beta, Pi: w.Pi}, uniform)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(idsOf(got), call.IDs) {
				t.Fatalf("alpha-beta %d, call %d: %v, want %v", i, j, idsOf(got), call.IDs)
			}
			for n, m := range got {
				if math.Abs(m.Score-call.P[n]) > 1e-9*call.P[n] {
					t.Errorf("alpha-beta %d, call %d: probability %v of %s, want %v", i, j, m.Score, m.ID, call.P[n])
				}
			}
		}
	}
}

// All ordered triples of five places come as often as drawing one after the other has them, by χ².
func TestDrawsFollowTheirWeights(t *testing.T) {
	weights := []float64{0.4, 0.3, 0.15, 0.1, 0.05}
	const draws = 60_000
	// 100 is exceeded by chance once in 1,300 (59 degrees of freedom); the seed is fixed.
	const bound = 100
	counts := map[[3]int]float64{}
	random := rand.New(rand.NewPCG(7, 7))
	for range draws {
		counts[[3]int(draw(weights, 3, random.Float64))]++
	}
	chi := func(expected func(a, b, c int) float64) float64 {
		sum := 0.0
		for a := range 5 {
			for b := range 5 {
				for c := range 5 {
					if a != b && b != c && a != c {
						e := draws * expected(a, b, c)
						d := counts[[3]int{a, b, c}] - e
						sum += d * d / e
					}
				}
			}
		}
		return sum
	}
	successive := chi(func(a, b, c int) float64 {
		return weights[a] * weights[b] / (1 - weights[a]) * weights[c] / (1 - weights[a] - weights[b])
	})
	if successive > bound {
		t.Errorf("χ² is %.1f, bound %d", successive, bound)
	}
	// The same measure tells other laws apart.
	if uniform := chi(func(_, _, _ int) float64 { return 1.0 / 60 }); uniform < 10*bound {
		t.Errorf("χ² of another law is %.1f: the measure sees nothing", uniform)
	}
}

func TestDrawOfHardWeights(t *testing.T) {
	half := func() float64 { return 0.5 }
	almost := func() float64 { return math.Nextafter(1, 0) }
	tests := []struct {
		weights []float64
		k       int
		uniform func() float64
		want    []int
	}{
		{nil, 3, half, []int{}},
		{[]float64{1}, 0, half, []int{}},
		{[]float64{1, 1}, 5, half, []int{1, 0}},
		{[]float64{0, 0, 0}, 2, half, []int{0, 1}},
		{[]float64{0, 1, 0}, 2, half, []int{1, 0}},
		{[]float64{0, 1, 0}, 3, almost, []int{1, 0, 2}},
		{[]float64{1e-320, 1e-320}, 2, almost, []int{1, 0}},
	}
	for _, test := range tests {
		if got := draw(test.weights, test.k, test.uniform); !reflect.DeepEqual(got, test.want) {
			t.Errorf("draw %d of %v: %v, want %v", test.k, test.weights, got, test.want)
		}
	}
}

// Whatever is asked for, what comes is chosen by filter and time, at most k, none twice, and as many as there are.
func TestWhatRetrieversKeepTo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := open(t, temp(t), Options{Embedder: Hashing(4)})
	var records []api.Record
	for i := range 150 {
		r := api.Record{ID: fmt.Sprint(i), Time: start.Add(time.Duration(random.IntN(1000)) * time.Minute), Metadata: api.Metadata{"even": i%2 == 0, "weight": random.Float64()}}
		if i%10 != 0 { // some have no vector
			r.Vector = anyVector(random, 4)
		}
		records = append(records, r)
	}
	if _, err := s.Add(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	rules := map[string]func() api.Retrieval{
		"by time": func() api.Retrieval { return api.Retrieval{ByTime: &api.ByTime{Oldest: random.IntN(2) == 0}} },
		"time-weighted": func() api.Retrieval {
			return api.Retrieval{TimeWeighted: &api.TimeWeighted{Decay: random.NormFloat64(), All: random.IntN(2) == 0}}
		},
		"alpha-beta": func() api.Retrieval {
			return api.Retrieval{AlphaBeta: &api.AlphaBeta{Alpha: 100 * random.NormFloat64(), Beta: 100 * random.NormFloat64(), Pi: random.Float64(), All: random.IntN(2) == 0}}
		},
		"marginal relevance": func() api.Retrieval {
			return api.Retrieval{MarginalRelevance: &api.MarginalRelevance{HalfLife: time.Duration(random.IntN(1000)) * time.Minute, Importance: "weight", Lambda: random.Float64()}}
		},
	}
	for name, rule := range rules {
		for range 40 {
			r := rule()
			r.Query = api.Query{Vector: anyVector(random, 4), K: 1 + random.IntN(200)}
			if random.IntN(2) == 0 {
				r.Filter = &api.Filter{Op: "eq", Key: "even", Value: true}
			}
			if random.IntN(2) == 0 {
				r.Since, r.Until = start.Add(200*time.Minute), start.Add(700*time.Minute)
			}
			possible := map[string]bool{}
			for _, rec := range records {
				if (r.Filter == nil || rec.Metadata["even"] == true) && (r.Since.IsZero() || !rec.Time.Before(r.Since) && rec.Time.Before(r.Until)) &&
					(rec.Vector != nil || r.ByTime != nil) {
					possible[rec.ID] = true
				}
			}
			among := len(possible)
			if r.TimeWeighted != nil && !r.TimeWeighted.All || r.AlphaBeta != nil && !r.AlphaBeta.All {
				among = min(among, nearCandidates)
			}
			got := retrieve(t, s, r)
			if len(got) != min(r.K, among) {
				t.Errorf("%s: %d records, want %d of %d", name, len(got), r.K, among)
			}
			for _, m := range got {
				if !possible[m.ID] {
					t.Errorf("%s: record %s comes twice, or was not to be chosen", name, m.ID)
				}
				delete(possible, m.ID)
				if m.Vector != nil {
					t.Errorf("%s: a vector that nobody asked for", name)
				}
			}
		}
	}
}

// Looking at all records finds what the nearest hundred do not have.
func TestTimeWeightedOverAll(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(2)})
	var records []api.Record
	for i := range nearCandidates + 1 {
		records = append(records, api.Record{ID: fmt.Sprint(i), Time: start, Vector: []float32{1, float32(i) / 100}})
	}
	records[nearCandidates].Time = start.Add(10 * time.Hour) // the farthest, and the newest
	if _, err := s.Add(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	r := api.Retrieval{
		Query:        api.Query{Vector: []float32{1, -0.01}, K: 1},
		TimeWeighted: &api.TimeWeighted{Decay: 1, Now: start.Add(11 * time.Hour)},
	}
	if got := retrieve(t, s, r); idsOf(got)[0] != "0" {
		t.Errorf("of the nearest: %v", idsOf(got))
	}
	r.TimeWeighted.All = true
	got := retrieve(t, s, r)
	if idsOf(got)[0] != "100" {
		t.Errorf("of all: %v", idsOf(got))
	}
	// exp(11 h × 1/s) is beyond a float64, and the order is still told.
	r.K, r.TimeWeighted.Now = 3, start.Add(11*time.Hour)
	if got := retrieve(t, s, r); !slices.Equal(idsOf(got), []string{"100", "0", "1"}) || got[1].Score != math.MaxFloat64 {
		t.Errorf("of all: %v, scores %v %v", idsOf(got), got[0].Score, got[1].Score)
	}
}

func TestAlphaBetaCounts(t *testing.T) {
	path := temp(t)
	s := open(t, path, Options{Embedder: Hashing(2)})
	for i := range 20 {
		add(t, s, api.Record{ID: fmt.Sprint(i), Vector: []float32{1, float32(i)}})
	}
	r := api.Retrieval{Query: api.Query{Vector: []float32{1, 0}, K: 3}, AlphaBeta: &api.AlphaBeta{Alpha: 50, Pi: 1, Seed: 9}}
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprint(i))
	}
	want := make([]uint64, 20)
	var scores []float64
	for range 5 {
		for _, m := range retrieve(t, s, r) {
			want[slices.Index(ids, m.ID)]++
			scores = append(scores, m.Score)
		}
	}
	if got := s.References(ids); !slices.Equal(got, want) {
		t.Errorf("references %v, want %v", got, want)
	}
	if slices.Max(scores) < 1.5*scores[0] {
		t.Errorf("what was drawn often is not drawn more often: %v", scores)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{Embedder: Hashing(2)})
	if got := s.References(ids); !slices.Equal(got, want) {
		t.Errorf("references after a restart %v, want %v", got, want)
	}
	// The same seed, records and counts draw the same.
	again := open(t, temp(t), Options{Embedder: Hashing(2)})
	for i := range 20 {
		add(t, again, api.Record{ID: fmt.Sprint(i), Vector: []float32{1, float32(i)}})
	}
	for id, n := range want {
		for range n {
			if err := again.AddReferences(t.Context(), []string{ids[id]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, other := retrieve(t, s, r), retrieve(t, again, r)
	if !slices.Equal(idsOf(one), idsOf(other)) {
		t.Errorf("the same seed drew %v and %v", idsOf(one), idsOf(other))
	}
}

// Choosing lazily chooses what the formula says.
func TestMarginalRelevanceIsItsFormula(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	now := start.Add(24 * time.Hour)
	for range 20 {
		s := open(t, temp(t), Options{Embedder: Hashing(3)})
		var records []api.Record
		for i := range 40 {
			v := anyVector(random, 3)
			if i > 0 && random.IntN(3) == 0 {
				v = slices.Clone(records[random.IntN(i)].Vector) // says nearly the same as another
				v[0] += 1e-3
			}
			r := api.Record{ID: fmt.Sprint(i), Vector: v, Time: start.Add(time.Duration(random.IntN(1440)) * time.Minute), Metadata: api.Metadata{"n": 0.5}}
			switch random.IntN(3) {
			case 0:
				r.Metadata["importance"] = int64(random.IntN(10))
			case 1:
				r.Metadata["importance"] = 10 * random.Float64()
			}
			records = append(records, r)
		}
		if _, err := s.Add(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		query, lambda, halfLife := anyVector(random, 3), 0.1+0.9*random.Float64(), time.Duration(1+random.IntN(600))*time.Minute

		weights := make([]float64, len(records))
		for i, r := range records {
			weights[i] = max(0, 1-cosineBetween(query, r.Vector)) * math.Pow(0.5, now.Sub(r.Time).Seconds()/halfLife.Seconds())
			switch n := r.Metadata["importance"].(type) {
			case int64:
				weights[i] *= float64(n)
			case float64:
				weights[i] *= n
			}
		}
		greatest := slices.Max(weights)
		nearest := make([]int, len(records)) // who comes first among equals
		for i := range nearest {
			nearest[i] = i
		}
		slices.SortStableFunc(nearest, func(i, j int) int {
			return cmp.Compare(cosineBetween(query, records[i].Vector), cosineBetween(query, records[j].Vector))
		})
		var want []int
		var scores []float64
		for len(want) < 10 {
			best, bestScore := -1, math.Inf(-1)
			for _, i := range nearest {
				likest := 0.0
				for _, j := range want {
					likest = max(likest, 1-cosineBetween(records[i].Vector, records[j].Vector))
				}
				if score := lambda*weights[i]/greatest - (1-lambda)*likest; score > bestScore && !slices.Contains(want, i) {
					best, bestScore = i, score
				}
			}
			want, scores = append(want, best), append(scores, bestScore)
		}
		got := retrieve(t, s, api.Retrieval{
			Query:             api.Query{Vector: query, K: 10},
			MarginalRelevance: &api.MarginalRelevance{HalfLife: halfLife, Importance: "importance", Lambda: lambda, Now: now},
		})
		for i, m := range got {
			if m.ID != records[want[i]].ID || math.Abs(m.Score-scores[i]) > 1e-9 {
				t.Fatalf("record %d is %s with %v, want %d with %v", i, m.ID, m.Score, want[i], scores[i])
			}
		}
	}
}

func TestMarginalRelevancePassesOverRepetitions(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(3)})
	now := start.Add(time.Hour)
	for id, v := range map[string][]float32{"dry": {1, 0.1, 0}, "dry again": {1, 0.1, 0.01}, "hot": {1, -0.6, 0.6}} {
		add(t, s, api.Record{ID: id, Vector: v, Time: now})
	}
	r := api.Retrieval{Query: api.Query{Vector: []float32{1, 0, 0}, K: 2}, MarginalRelevance: &api.MarginalRelevance{Now: now}}
	if got := retrieve(t, s, r); idsOf(got)[1] != "hot" {
		t.Errorf("the second is a repetition: %v", idsOf(got))
	}
	r.MarginalRelevance.Lambda = 1
	if got := retrieve(t, s, r); idsOf(got)[1] == "hot" {
		t.Errorf("with λ = 1: %v", idsOf(got))
	}
}

func TestRetrievalsThatAreRefused(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(2)})
	add(t, s, api.Record{ID: "a", Vector: []float32{1, 0}})
	q := api.Query{Vector: []float32{1, 0}}
	for name, r := range map[string]api.Retrieval{
		"no retriever":            {Query: q},
		"two retrievers":          {Query: q, ByTime: &api.ByTime{}, AlphaBeta: &api.AlphaBeta{}},
		"a negative k":            {Query: api.Query{Vector: q.Vector, K: -1}, ByTime: &api.ByTime{}},
		"a wrong dimension":       {Query: api.Query{Vector: []float32{1}}, TimeWeighted: &api.TimeWeighted{}},
		"a wrong filter":          {Query: api.Query{Vector: q.Vector, Filter: &api.Filter{Op: "is"}}, AlphaBeta: &api.AlphaBeta{}},
		"a decay that is none":    {Query: q, TimeWeighted: &api.TimeWeighted{Decay: math.NaN()}},
		"an unknown space":        {Query: q, TimeWeighted: &api.TimeWeighted{Space: "ip"}},
		"a pi above 1":            {Query: q, AlphaBeta: &api.AlphaBeta{Pi: 1.1}},
		"an alpha without bounds": {Query: q, AlphaBeta: &api.AlphaBeta{Alpha: math.Inf(1)}},
		"a negative half-life":    {Query: q, MarginalRelevance: &api.MarginalRelevance{HalfLife: -1}},
		"a lambda above 1":        {Query: q, MarginalRelevance: &api.MarginalRelevance{Lambda: 1.1}},
	} {
		if _, err := s.Retrieve(t.Context(), r); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	// Parameters at the ends of what a float64 holds are no reason to fail.
	for _, x := range []float64{math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64} {
		for _, r := range []api.Retrieval{
			{Query: q, TimeWeighted: &api.TimeWeighted{Decay: x, Now: time.Now().Add(time.Hour)}},
			{Query: q, AlphaBeta: &api.AlphaBeta{Alpha: x, Beta: x, Pi: 0.5}},
		} {
			got := retrieve(t, s, r)
			if len(got) != 1 || math.IsNaN(got[0].Score) || math.IsInf(got[0].Score, 0) {
				t.Errorf("with %v: %+v", x, got)
			}
		}
	}
	// What asks for nothing finds nothing.
	if got := retrieve(t, s, api.Retrieval{Query: api.Query{Text: " "}, AlphaBeta: &api.AlphaBeta{}}); len(got) != 0 {
		t.Errorf("a blank text found %v", idsOf(got))
	}
}

func retrieve(t *testing.T, s *Store, r api.Retrieval) []api.Match {
	t.Helper()
	matches, err := s.Retrieve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return matches
}

func anyVector(random *rand.Rand, dimension int) []float32 {
	v := make([]float32, dimension)
	for i := range v {
		v[i] = float32(random.NormFloat64())
	}
	return v
}

func recordsOf(matches []api.Match) []api.Record {
	records := make([]api.Record, len(matches))
	for i, m := range matches {
		records[i] = m.Record
	}
	return records
}

func idsOf(matches []api.Match) []string {
	ids := make([]string, len(matches))
	for i, m := range matches {
		ids[i] = m.ID
	}
	return ids
}
