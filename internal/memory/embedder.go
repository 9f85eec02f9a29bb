package memory

import (
	"context"
	"strings"
	"unicode"
)

// Embedder makes vectors of texts, such that texts that belong together get vectors of similar direction.
// It is safe for concurrent use. The same name and dimension promise the same vectors, now and in later versions.
type Embedder interface {
	// Name tells the embedder, and its version where vectors of two cannot be compared. A memory remembers it:
	// Options.Embedders finds the embedder again by it.
	Name() string
	// Dimension is the length of its vectors, up to 65,536; 0 where that is known only once it has made one.
	Dimension() int
	// Embed returns one vector a text, in order. A vector that is zero says that the text has no direction.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Hashing returns an embedder that needs no model: every word, and every run of 2 to 4 letters in it, adds 1 or -1 (or
// a part of it) at a place that its hash chooses, and the sum is brought to length 1. 0 dimensions are 256.
//
// It knows spelling, not meaning: it finds "the plants are thirsty" by "thirsty plant", and does not find it by
// "needs water". It is deterministic, the same everywhere, and takes some 10 µs a sentence.
func Hashing(dimension int) Embedder {
	if dimension == 0 {
		dimension = 256
	}
	return hashing(dimension)
}

type hashing int

func (h hashing) Name() string   { return "hashing-1" }
func (h hashing) Dimension() int { return int(h) }

func (h hashing) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		vectors[i] = h.embed(text)
	}
	return vectors, nil
}

// Weights of a whole word and of a run of letters in it: a long word has many runs.
const (
	wordWeight = 1.0
	runWeight  = 0.4
)

func (h hashing) embed(text string) []float32 {
	v := make([]float32, h)
	text = strings.ToLower(text)
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.In(r, unicode.L, unicode.N, unicode.M) })
	if len(words) == 0 {
		words = strings.Fields(text) // "?!" and "🌱" are texts, too
	}
	for _, word := range words {
		h.add(v, word, wordWeight)
		letters := []rune("^" + word + "$") // so that beginnings and ends differ from middles
		for n := 2; n <= 4; n++ {
			for i := 0; i+n <= len(letters); i++ {
				h.add(v, string(letters[i:i+n]), runWeight)
			}
		}
	}
	unit(v)
	return v
}

// add uses FNV-1a, whose low bits choose the place, and a high one the sign, so that what meets by chance cancels.
func (h hashing) add(v []float32, feature string, weight float32) {
	hash := uint64(14695981039346656037)
	for i := range len(feature) {
		hash = (hash ^ uint64(feature[i])) * 1099511628211
	}
	hash ^= hash >> 29 // FNV's low bits of short strings are alike
	if hash>>63 == 1 {
		weight = -weight
	}
	v[hash%uint64(h)] += weight
}
