package minilm

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// some are texts of many lengths, in an order in which long ones and short ones meet.
func some() []string {
	texts := []string{"", "one", strings.Repeat("a long way to go ", 80), "two words", "🌱", strings.Repeat("word ", 61), "日本"}
	for i := range 12 {
		texts = append(texts, sentence[:5+3*i])
	}
	return texts
}

func TestEmbedIsMemorysEmbedder(t *testing.T) {
	m := New()
	if m.Name() != "minilm" || m.Dimension() != 384 {
		t.Fatalf("the model is %q with %d dimensions", m.Name(), m.Dimension())
	}
	vectors, err := m.Embed(context.Background(), some())
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vectors {
		square := 0.0
		for _, x := range v {
			square += float64(x) * float64(x)
		}
		if len(v) != m.Dimension() || math.Abs(square-1) > 1e-5 {
			t.Errorf("vector %d has %d numbers and length %v, not %d and 1", i, len(v), math.Sqrt(square), m.Dimension())
		}
	}
	if none, err := m.Embed(context.Background(), nil); err != nil || len(none) != 0 {
		t.Errorf("no texts are %v, %v", none, err)
	}
}

// TestEmbedDependsOnTheTextAlone: alone or beside others, with one core or four, whoever asks at the same time, and, for
// a few, by plain Go: always the same bits.
func TestEmbedDependsOnTheTextAlone(t *testing.T) {
	texts := some()
	together, err := newModel(kernelsHere(), 4).Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	check := func(m *Model, i int) {
		alone, err := m.Embed(context.Background(), texts[i:i+1])
		if err != nil {
			t.Error(err)
		} else if !slices.Equal(alone[0], together[i]) {
			t.Errorf("the vector of %.20q (text %d) is another one alone", texts[i], i)
		}
	}
	one, two := newModel(kernelsHere(), 1), newModel(kernelsHere(), 2)
	var all sync.WaitGroup
	for i := range texts {
		check(one, i)
		all.Go(func() { check(two, i) })
	}
	all.Wait()
	plain := newModel(portable(), 1)
	check(plain, 0)
	check(plain, 3)
	check(plain, 6)
}

// TestMeaning is what all this is for.
func TestMeaning(t *testing.T) {
	v, err := New().Embed(context.Background(), []string{
		"Which plant needs water?", "The basil on the window sill is thirsty.", "The stock market fell by two percent.",
	})
	if err != nil {
		t.Fatal(err)
	}
	dot := func(a, b []float32) (sum float64) {
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum
	}
	if near, far := dot(v[0], v[1]), dot(v[0], v[2]); near < far+0.2 {
		t.Errorf("the cosine to a thirsty basil is %.3f, to the stock market %.3f", near, far)
	}
}

func TestEmbedEndsWithItsContext(t *testing.T) {
	m := newModel(kernelsHere(), 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Embed(ctx, some()); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v", err)
	}

	// While all workspaces are taken by others it waits, and ends with its context.
	w := <-m.works
	ctx, cancel = context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := m.Embed(ctx, some())
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a workspace, the context's end gives %v", err)
	}
	m.works <- w
	if _, err := m.Embed(context.Background(), some()[:3]); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestEmbedKeepsNothing: a call allocates its answer and little else.
func TestEmbedKeepsNothing(t *testing.T) {
	m := newModel(kernelsHere(), 1)
	texts := []string{sentence}
	embed := func() {
		if _, err := m.Embed(context.Background(), texts); err != nil {
			t.Fatal(err)
		}
	}
	embed()
	if n := testing.AllocsPerRun(10, embed); n > 16 {
		t.Errorf("a sentence takes %v allocations", n)
	}
}

func TestReadNetworkRefusesWhatIsNotWhole(t *testing.T) {
	for name, file := range map[string]string{
		"empty":         "",
		"other version": "all-MiniLM-L6-v2 int8 9\n" + weights[len(Magic):],
		"too short":     weights[:len(weights)-1],
		"half":          weights[:len(weights)/2],
		"too long":      weights + "x",
	} {
		if _, err := readNetwork(file, portable()); err == nil {
			t.Errorf("weights that are %s are taken", name)
		}
	}
	if _, err := readTokenizer(vocabulary[:1000]); err == nil {
		t.Error("a vocabulary of a hundred words is taken")
	}
}

// TestBits: vectors are the same on every processor, and in every version of coma, since memories keep them. Whoever
// must change this number must change the model's name with it.
func TestBits(t *testing.T) {
	vectors, err := New().Embed(context.Background(), []string{"", sentence, "🌱 日本", "func main() {}"})
	if err != nil {
		t.Fatal(err)
	}
	h := fnv.New64a()
	for _, v := range vectors {
		if err := binary.Write(h, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	const want = 0xdb8f3b87450cb025
	if got := h.Sum64(); got != want {
		t.Errorf("the vectors' hash is %#x, not %#x", got, uint64(want))
	}
}
