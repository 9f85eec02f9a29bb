package memory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// lazy is an embedder that knows its dimension only once it has made a vector.
type lazy struct{ name string }

func (l lazy) Name() string { return l.name }
func (lazy) Dimension() int { return 0 }
func (lazy) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	return Hashing(12).Embed(ctx, texts)
}

// silent is the embedder that makes none.
type silent struct{}

func (silent) Name() string   { return NoEmbedder }
func (silent) Dimension() int { return 0 }
func (silent) Embed(_ context.Context, texts []string) ([][]float32, error) {
	return make([][]float32, len(texts)), nil
}

// library finds the embedders of these tests.
func library(name string) (Embedder, error) {
	for _, e := range []Embedder{Hashing(8), turned{Hashing(8)}, lazy{"lazy"}} {
		if e.Name() == name {
			return e, nil
		}
	}
	return nil, errors.New("set LIBRARY to have " + name)
}

// TestWhoseVectors opens memories that were made in different ways, and sees what becomes of texts and vectors.
func TestWhoseVectors(t *testing.T) {
	three, eight, twelve := []float32{1, 2, 3}, []float32{1, 2, 3, 4, 5, 6, 7, 8}, make([]float32, 12)
	text, given := api.Record{Text: "soil"}, func(v []float32) api.Record { return api.Record{Text: "soil", Vector: v} }
	is := func(embedder string, dimension int) space { return space{embedder, dimension} }
	for _, test := range []struct {
		name     string
		declared string
		first    []api.Record // added with Hashing(8) as the embedder asked for by default
		opened   Options      // and then opened with these
		space    space
		text     string // what a text without a vector is answered, "" for no error
		vector   []float32
		refused  []float32
	}{
		{name: "empty", space: is("hashing-1", 8), vector: three},
		{name: "text", first: []api.Record{text}, space: is("hashing-1", 8), vector: eight, refused: three},
		{name: "vector of the embedder's length", first: []api.Record{given(eight)}, space: is("hashing-1", 8), vector: eight, refused: three},
		{name: "vector of another length", first: []api.Record{given(three)}, space: is(GivenEmbedder, 3),
			text: "vectors that were given", vector: three, refused: eight},
		{name: "the memory's own is found", first: []api.Record{text}, opened: Options{Embedder: turned{Hashing(8)}},
			space: is("hashing-1", 8), vector: eight, refused: three},
		{name: "another is insisted on", first: []api.Record{text}, opened: Options{Embedder: turned{Hashing(8)}, Insist: true},
			space: is("hashing-1", 8), text: "coma memory reembed", vector: eight},
		{name: "another is insisted on, empty", opened: Options{Embedder: turned{Hashing(8)}, Insist: true}, space: is("turned", 8)},
		{name: "the same is insisted on", first: []api.Record{text}, opened: Options{Embedder: Hashing(8), Insist: true}, space: is("hashing-1", 8)},
		{name: "it cannot be found", declared: "gone", first: []api.Record{given(three)}, space: is("gone", 3), text: "set LIBRARY to have gone", vector: three, refused: eight},
		{name: "declared", declared: "turned", space: is("turned", 8)},
		{name: "declared and given", declared: "turned", first: []api.Record{given(eight)}, space: is("turned", 8), vector: eight, refused: three},
		{name: "declared, of another length", declared: "turned", first: []api.Record{given(three)}, space: is(GivenEmbedder, 3), text: "given"},
		{name: "declared, another is insisted on", declared: "turned", opened: Options{Embedder: Hashing(8), Insist: true}, space: is("hashing-1", 8)},
		{name: "its length is not known", opened: Options{Embedder: lazy{"lazy"}}, space: is("lazy", 0), vector: twelve},
		{name: "its length was not known", declared: "lazy", first: []api.Record{text}, space: is("lazy", 12), vector: twelve, refused: eight},
		{name: "none", opened: Options{Embedder: silent{}, Insist: true}, space: is(NoEmbedder, 0), text: "none"},
		{name: "none with vectors", declared: NoEmbedder, first: []api.Record{text, given(three)}, space: is(NoEmbedder, 3), text: "none", vector: three, refused: eight},
		{name: "blank", first: []api.Record{{Text: " "}}, space: is("hashing-1", 8), vector: eight},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := temp(t)
			s := open(t, path, Options{Embedder: Hashing(8), Embedders: library})
			if test.declared != "" {
				if err := s.Declare(t.Context(), test.declared); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range test.first {
				add(t, s, r)
			}
			s.Close()
			if test.opened.Embedder == nil {
				test.opened.Embedder = Hashing(8)
			}
			test.opened.Embedders = library
			s = open(t, path, test.opened)
			info, err := s.Info()
			if err != nil || info.Embedder != test.space.Embedder || info.Dimension != test.space.Dimension {
				t.Errorf("info %+v, %v; want %v", info, err, test.space)
			}
			_, queryErr := s.Query(t.Context(), api.Query{Text: "soil"})
			_, addErr := s.Add(t.Context(), []api.Record{{ID: "new", Text: "soil"}})
			if test.space.Embedder == NoEmbedder { // texts are kept
				if addErr != nil {
					t.Errorf("add to none: %v", addErr)
				}
				addErr = queryErr
			}
			for _, err := range []error{queryErr, addErr} {
				if test.text == "" && err != nil || test.text != "" && (err == nil || !strings.Contains(err.Error(), test.text)) {
					t.Errorf("text: %v, want %q", err, test.text)
				}
			}
			if test.vector != nil && len(test.first) > 0 {
				add(t, s, api.Record{ID: "fits", Vector: test.vector})
				if _, err := s.Query(t.Context(), api.Query{Vector: test.vector}); err != nil {
					t.Error(err)
				}
			}
			if test.refused != nil {
				_, err := s.Add(t.Context(), []api.Record{{Vector: test.refused}})
				var dimension DimensionError
				if !errors.As(err, &dimension) || dimension != (DimensionError{Want: len(test.vector), Got: len(test.refused)}) || !errors.Is(err, api.ErrInvalid) {
					t.Errorf("vector: %v", err)
				}
				err = s.WriteItems(t.Context(), AddItems, []Item{{ID: "fits", Vector: test.refused}})
				if !errors.As(err, &dimension) {
					t.Errorf("item that is passed over: %v", err)
				}
				if _, err := s.NearestItems(t.Context(), [][]float32{test.refused}, 1, "l2", ItemSelection{}); !errors.As(err, &dimension) {
					t.Errorf("nearest: %v", err)
				}
			}
		})
	}
}

func TestSpeakChangesTheEmbedderOfAnOpenMemory(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(8), Embedders: library})
	add(t, s, api.Record{ID: "a", Text: "soil"})
	s.Speak(turned{Hashing(8)}, true)
	if _, err := s.Add(t.Context(), []api.Record{{Text: "light"}}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("insisted: %v", err)
	}
	s.Speak(turned{Hashing(8)}, false)
	add(t, s, api.Record{ID: "b", Text: "soil"})
	if r := get(t, s, api.Selection{Vectors: true}); !slices.Equal(r[0].Vector, r[1].Vector) {
		t.Errorf("two embedders in one memory: %v", r)
	}
	if _, err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, s, api.Record{Text: "soil"})
	if info, err := s.Info(); err != nil || info.Embedder != "turned" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestPeek(t *testing.T) {
	path := temp(t)
	if _, err := Peek(path); err == nil {
		t.Error("nothing was peeked into")
	}
	s := open(t, path, Options{Embedder: Hashing(8)})
	if err := s.SetAttribute(t.Context(), "chroma", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := Peek(path); !errors.Is(err, api.ErrInUse) {
		t.Errorf("an open one: %v", err)
	}
	for _, empty := range []bool{true, false} {
		if !empty {
			add(t, s, api.Record{Text: "x"})
		}
		s.Close()
		head, err := Peek(path)
		if err != nil || head.Empty != empty || string(head.Attributes["chroma"]) != "x" || !empty && head.Embedder != "hashing-1" {
			t.Errorf("%+v, %v", head, err)
		}
		s = open(t, path, Options{Embedder: Hashing(8)})
	}
	if err := s.SetAttribute(t.Context(), "large", make([]byte, maxAttributeBytes)); !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("a large attribute: %v", err)
	}
}
