package memory

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestIndexGuardsChromem(t *testing.T) {
	x := newChromem(2)
	search := func(v []float32, k int, keep func(string) bool) []string {
		t.Helper()
		hits, err := x.Search(t.Context(), v, k, keep)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, h := range hits {
			ids = append(ids, h.ID)
		}
		return ids
	}
	if got := search([]float32{1, 0}, 5, nil); len(got) != 0 {
		t.Errorf("an empty index found %v", got)
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, v := range [][]float32{nil, {1}, {1, 2, 3}, {0, 0}, {nan, 1}, {inf, 1}} {
		_, err := x.Search(t.Context(), v, 1, nil)
		if addErr := x.Add("bad", v); !errors.Is(addErr, api.ErrInvalid) || !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%v: add %v, search %v", v, addErr, err)
		}
	}
	// All but one are equally near; large and tiny vectors have a direction, too.
	for _, id := range []string{"e", "c", "a", "b", "d"} {
		if err := x.Add(id, []float32{0, math.MaxFloat32}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Add("f", []float32{math.SmallestNonzeroFloat32, 0}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got := search([]float32{0, 1}, 2, nil); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("tied ones come by chance: %v", got)
		}
	}
	if got := search([]float32{1, 0}, 99, nil); len(got) != 6 || got[0] != "f" {
		t.Errorf("got %v", got)
	}
	if got := search([]float32{1, 0}, 2, func(id string) bool { return id > "b" && id != "f" }); !slices.Equal(got, []string{"c", "d"}) {
		t.Errorf("with keep: %v", got)
	}
	for _, id := range []string{"a", "a", "never there"} {
		if err := x.Delete(id); err != nil {
			t.Error(err)
		}
	}
	if x.Len() != 5 {
		t.Errorf("%d left", x.Len())
	}
}
