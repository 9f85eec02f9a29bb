package chroma

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// batch is the body of add, update and upsert: columns of equal length. A column that is nil is not given.
type batch struct {
	ids        []string
	embeddings [][]float32
	metadatas  []map[string]any
	documents  []*string
	uris       []*string
}

// write answers add, update and upsert. With update, vectors may be missing, and null removes a key of the metadata; with
// upsert, the latter.
func (s *Server) write(mode memory.Mode) func(http.ResponseWriter, *http.Request) error {
	status := http.StatusOK
	if mode == memory.AddItems {
		status = http.StatusCreated
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		var b batch
		if err := s.body(w, r, func(in *reader) error { return b.read(in, mode) }); err != nil {
			return err
		}
		err := s.use(r, func(ctx context.Context, _ *collection, store *memory.Store) error {
			items, err := b.items(mode)
			if err != nil || len(items) == 0 {
				return err
			}
			return store.WriteItems(ctx, mode, items)
		})
		if err != nil {
			return err
		}
		return answer(w, status, done)
	}
}

func (b *batch) read(r *reader, mode memory.Mode) error {
	var ids, embeddings bool
	err := r.once("a record set", func(key string) (err error) {
		switch key {
		case "ids":
			ids = true
			b.ids, err = r.texts()
		case "embeddings":
			embeddings = true
			if mode == memory.UpdateItems {
				if null, err := r.null(); null || err != nil {
					return err
				}
			}
			b.embeddings, err = r.embeddings(mode == memory.UpdateItems)
		case "metadatas":
			b.metadatas, err = r.metadatas(mode != memory.AddItems)
		case "documents":
			b.documents, err = r.optionalTexts()
		case "uris":
			b.uris, err = r.optionalTexts()
		default:
			err = r.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !ids:
		return missing("ids")
	case !embeddings && mode != memory.UpdateItems:
		return missing("embeddings")
	}
	return nil
}

// items turns the columns into items and checks them.
func (b *batch) items(mode memory.Mode) ([]memory.Item, error) {
	n := len(b.ids)
	if (b.embeddings != nil || mode != memory.UpdateItems) && len(b.embeddings) != n || b.metadatas != nil && len(b.metadatas) != n ||
		b.documents != nil && len(b.documents) != n || b.uris != nil && len(b.uris) != n {
		return nil, invalid("Inconsistent number of IDs, embeddings, documents, URIs and metadatas")
	}
	if err := alike(b.embeddings); err != nil {
		return nil, err
	}
	items := make([]memory.Item, n)
	for i, id := range b.ids {
		if id == "" {
			return nil, invalid("Empty ID, ID must have at least one character")
		}
		items[i].ID = id
		if b.embeddings != nil {
			if v := b.embeddings[i]; v != nil && len(v) == 0 {
				return nil, invalid("Validation error: embeddings: Each embedding must have at least 1 dimension")
			}
			items[i].Vector = b.embeddings[i]
		}
		if b.metadatas != nil {
			if err := checkMetadata(b.metadatas[i]); err != nil {
				return nil, invalid("Validation error: metadatas: Invalid metadata at index %d", i)
			}
			if mode == memory.UpdateItems || len(b.metadatas[i]) > 0 {
				items[i].Metadata = b.metadatas[i]
			}
		}
		if b.documents != nil {
			items[i].Document = b.documents[i]
		}
		if b.uris != nil {
			items[i].URI = b.uris[i]
		}
	}
	return items, nil
}

// alike checks that vectors are of one dimension; nil ones are of any.
func alike(vectors [][]float32) error {
	dimension := -1
	for _, v := range vectors {
		if v != nil && dimension >= 0 && len(v) != dimension {
			return invalid("Inconsistent dimensions in provided embeddings")
		}
		if v != nil {
			dimension = len(v)
		}
	}
	return nil
}

// checkMetadata refuses the keys that filters could not name.
func checkMetadata(metadata map[string]any) error {
	for key := range metadata {
		if key == "" || strings.HasPrefix(key, "#") || strings.HasPrefix(key, "$") {
			return fmt.Errorf("metadata key %q", key)
		}
	}
	return nil
}

// once reads an object of which no key comes twice.
func (r *reader) once(expected string, field func(key string) error) error {
	seen := map[string]bool{}
	return r.object(expected, func(key string) error {
		if seen[key] {
			return &typeError{fmt.Sprintf("duplicate field `%s`", key)}
		}
		seen[key] = true
		return field(key)
	})
}

// texts reads an array of strings.
func (r *reader) texts() ([]string, error) {
	texts := []string{}
	err := r.array("an array of strings", func() error {
		text, err := r.text("a string")
		texts = append(texts, text)
		return err
	})
	return texts, err
}

// optionalTexts reads an array of strings and nulls, or null, which is nil.
func (r *reader) optionalTexts() ([]*string, error) {
	if null, err := r.null(); null || err != nil {
		return nil, err
	}
	texts := []*string{}
	err := r.array("an array of strings", func() error {
		if null, err := r.null(); null || err != nil {
			texts = append(texts, nil)
			return err
		}
		text, err := r.text("a string")
		texts = append(texts, &text)
		return err
	})
	return texts, err
}

// metadatas reads an array of metadata, or null, which is nil.
func (r *reader) metadatas(nulls bool) ([]map[string]any, error) {
	if null, err := r.null(); null || err != nil {
		return nil, err
	}
	list := []map[string]any{}
	err := r.array("an array of metadata", func() error {
		m, err := r.metadata(nulls)
		list = append(list, m)
		return err
	})
	return list, err
}

// metadata reads an object of strings, numbers and booleans, with nulls also of nulls; null is nil. What is no int64 is a
// float64.
func (r *reader) metadata(nulls bool) (map[string]any, error) {
	if null, err := r.null(); null || err != nil {
		return nil, err
	}
	m := map[string]any{}
	err := r.object("metadata", func(key string) error {
		c, err := r.peek()
		if err != nil {
			return err
		}
		switch c {
		case '[':
			return r.wrong("a string, number or boolean")
		case '{':
			return r.notSparse(key)
		}
		value, err := r.value()
		if value == nil && !nulls && err == nil {
			return &typeError{fmt.Sprintf("%s: data did not match any variant of untagged enum MetadataValue at byte %d", key, r.at)}
		}
		m[key] = value
		return err
	})
	return m, err
}

// notSparse tells sparse vectors, which the real server does not store on a single machine either, from what is wrong.
func (r *reader) notSparse(key string) error {
	value, err := r.value()
	if err != nil {
		return err
	}
	for _, m := range value.([]member) {
		if m.key == "indices" {
			return unsupported("Unimplemented: Sparse vector is not supported for local chroma: " + key)
		}
	}
	return &typeError{fmt.Sprintf("%s: data did not match any variant of untagged enum MetadataValue at byte %d", key, r.at)}
}

func (s *Server) count(w http.ResponseWriter, r *http.Request) error {
	n := 0
	err := s.use(r, func(ctx context.Context, _ *collection, store *memory.Store) (err error) {
		n, err = store.Count(ctx, nil)
		return err
	})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, n)
}

func (s *Server) delete(w http.ResponseWriter, r *http.Request) error {
	var sel selection
	if err := s.body(w, r, sel.read); err != nil {
		return err
	}
	n := 0
	err := s.use(r, func(ctx context.Context, _ *collection, store *memory.Store) (err error) {
		if sel.wrong != nil {
			return sel.wrong
		}
		if sel.ids != nil && len(sel.ids) == 0 && !sel.filtered {
			return invalid("Validation error: ids, where: Either ids or where must be specified")
		}
		if sel.ids == nil && !sel.filtered || sel.empty() {
			return nil // a request that names nothing deletes nothing
		}
		n, err = store.DeleteItems(ctx, sel.items())
		return err
	})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]int{"deleted": n})
}
