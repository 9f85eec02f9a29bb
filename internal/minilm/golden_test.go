package minilm

import (
	"bufio"
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// lines reads a file of testdata, which has one JSON value a line.
func lines[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []T
	for d := json.NewDecoder(bufio.NewReader(f)); d.More(); {
		var v T
		if err := d.Decode(&v); err != nil {
			t.Fatalf("read %s: %v", name, err)
		}
		all = append(all, v)
	}
	return all
}

// golden is a text and the vector of the original (reference/golden.py).
type golden struct {
	Text   string
	Vector []byte // of int8
}

func (g *golden) cosine(v []float32) float64 {
	var dot, ours, theirs float64
	for i, b := range g.Vector {
		x, y := float64(v[i]), float64(int8(b))
		dot += x * y
		ours += x * x
		theirs += y * y
	}
	return dot / math.Sqrt(ours*theirs)
}

// TestGolden: each of a thousand texts has nearly the direction that the original gives it.
func TestGolden(t *testing.T) {
	all := lines[golden](t, "golden.jsonl")
	if len(all) != 1000 {
		t.Fatalf("golden.jsonl has %d texts, not 1,000", len(all))
	}
	if testing.Short() || kernelsHere().name == "portable" {
		all = slices.Concat(all[:20], all[980:]) // a minute otherwise
	}
	texts := make([]string, len(all))
	for i, g := range all {
		texts[i] = g.Text
	}
	vectors, err := New().Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	least, sum, worst := 1.0, 0.0, ""
	for i, g := range all {
		cosine := g.cosine(vectors[i])
		if cosine < 0.995 {
			t.Errorf("cosine of %.60q is %.5f, below 0.995", g.Text, cosine)
		}
		if sum += cosine; cosine < least {
			least, worst = cosine, g.Text
		}
	}
	t.Logf("cosine to the original: least %.5f (%.60q), mean %.5f", least, worst, sum/float64(len(all)))
}

// TestTokens: the tokens of nasty texts are those of the library that Chroma uses.
func TestTokens(t *testing.T) {
	_, tok, err := New().load()
	if err != nil {
		t.Fatal(err)
	}
	all := lines[struct {
		Text   string
		Tokens []uint16
	}](t, "tokens.jsonl")
	if len(all) < 1200 {
		t.Fatalf("tokens.jsonl has %d texts", len(all))
	}
	for _, c := range all {
		if got := tok.encode(c.Text, maxTokens); !slices.Equal(got, c.Tokens) {
			t.Errorf("%+.100q:\n got %d\nwant %d", c.Text, got, c.Tokens)
		}
	}
}
