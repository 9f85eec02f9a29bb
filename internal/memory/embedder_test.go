package memory

import (
	"math"
	"slices"
	"testing"
)

func TestHashing(t *testing.T) {
	h := Hashing(0)
	first, err := h.Embed(t.Context(), []string{"The soil is dry.", "the SOIL is dry!", "?!", "🌱", "", " \t", "土が乾いている"})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range first {
		n := length(v)
		if blank := i == 4 || i == 5; len(v) != 256 || blank != (n == 0) || !blank && math.Abs(n-1) > 1e-6 {
			t.Errorf("text %d: length %v of %d", i, n, len(v))
		}
	}
	if !slices.Equal(first[0], first[1]) {
		t.Error("case and punctuation matter")
	}
	again, err := h.Embed(t.Context(), []string{"The soil is dry."})
	if err != nil || !slices.Equal(first[0], again[0]) {
		t.Errorf("not deterministic: %v", err)
	}
	// These are on disk under the embedder's name: a change of the algorithm needs a new name.
	small, err := Hashing(4).Embed(t.Context(), []string{"soil"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{0.14396314, 0.9357605, 0.2879263, -0.14396314}; !slices.Equal(small[0], want) {
		t.Errorf("got %v, want %v", small[0], want)
	}
}
