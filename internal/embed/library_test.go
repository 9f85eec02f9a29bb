package embed

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestLibraryMakesOneOfEach(t *testing.T) {
	l := NewLibrary(environment(nil))
	for spec, want := range map[string]struct {
		name      string
		dimension int
	}{
		"": {"minilm", 384}, "minilm": {"minilm", 384}, "hash": {"hashing-1", 256}, "none": {"none", 0}, "ollama": {"ollama:nomic-embed-text", 0},
	} {
		e, err := l.Find(spec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := l.Find(e.Name())
		if err != nil || again != e || e.Name() != want.name || e.Dimension() != want.dimension {
			t.Errorf("%q: %s, %d dimensions; by its name another one: %t, %v", spec, e.Name(), e.Dimension(), again != e, err)
		}
	}
	if _, err := l.Find("nothing"); err == nil {
		t.Error("a name that means nothing is found")
	}
	e, _ := l.Find("none")
	if err := Ready(t.Context(), e); err != nil {
		t.Error(err)
	}
	if v, err := e.Embed(t.Context(), []string{"a", "b"}); err != nil || len(v) != 2 || v[0] != nil || v[1] != nil {
		t.Errorf("none: %v, %v", v, err)
	}
}

// counting counts the texts that it is asked for.
type counting struct {
	mu    sync.Mutex
	texts []string
}

func (c *counting) Name() string   { return "counting" }
func (c *counting) Dimension() int { return 100 }
func (c *counting) Embed(_ context.Context, texts []string) ([][]float32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		c.texts = append(c.texts, text)
		vectors[i] = make([]float32, 100)
		vectors[i][0] = float32(len(text))
	}
	return vectors, nil
}

func TestCacheHoldsNoMoreThanItMay(t *testing.T) {
	source := &counting{}
	const limit = 10 * (entryBytes + 400 + 8)
	c := newCached(source, limit)
	for round := range 3 {
		for i := range 100 {
			text := fmt.Sprintf("text %03d", i)
			v, err := c.Embed(t.Context(), []string{"text 000", text, text})
			if err != nil || v[1][0] != 8 || v[2][0] != 8 {
				t.Fatalf("round %d: %v, %v", round, v, err)
			}
			if c.bytes > limit || c.order.Len() != len(c.known) {
				t.Fatalf("%d bytes in %d entries of %d", c.bytes, c.order.Len(), len(c.known))
			}
		}
	}
	// Text 000 was used each time and stays; the others have gone by the time they come again.
	if want := 1 + 3*99; len(source.texts) != want {
		t.Errorf("asked for %d texts, want %d", len(source.texts), want)
	}
	before := c.order.Len()
	if _, err := c.Embed(t.Context(), []string{strings.Repeat("long ", longestInCache)}); err != nil || c.order.Len() != before {
		t.Errorf("a very long text is kept: %v", err)
	}
}

func TestCacheOfMany(t *testing.T) {
	c := newCached(&counting{}, 1<<20)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				text := strings.Repeat("x", i%50+1)
				if v, err := c.Embed(context.Background(), []string{text}); err != nil || v[0][0] != float32(len(text)) {
					t.Errorf("%d: %v, %v", i, v, err)
				}
			}
		})
	}
	all.Wait()
}
