package chroma

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// selection is what get, query and delete have in common, and what get and query add to it.
type selection struct {
	ids      []string // nil: any
	where    condition
	filtered bool  // where is more than "anything"
	wrong    error // of where: told after it is known that there is such a collection, as the real server does
	limit    int   // -1: none
	offset   int
	include  []string

	vectors [][]float32 // of a query
	asked   bool        // vectors are given
	k       int
}

// included are the parts of a record that an answer can have.
var included = []string{"distances", "documents", "embeddings", "metadatas", "uris"}

func (sel *selection) read(r *reader) error {
	where, document := anything, anything
	sel.limit = -1
	err := r.once("struct", func(key string) (err error) {
		switch key {
		case "where":
			where, err = sel.clause(r, whereClause)
			return err
		case "where_document":
			document, err = sel.clause(r, documentClause)
			return err
		case "include":
			return sel.readInclude(r)
		case "query_embeddings":
			sel.asked = true
			return r.array("an array of vectors", func() error {
				v, err := r.floats()
				sel.vectors = append(sel.vectors, v)
				return err
			})
		}
		if null, err := r.null(); null || err != nil {
			return err
		}
		switch key {
		case "ids":
			sel.ids, err = r.texts()
		case "limit":
			sel.limit, err = r.whole()
		case "offset":
			sel.offset, err = r.whole()
		case "n_results":
			sel.k, err = r.whole()
		default:
			err = r.skip()
		}
		return err
	})
	sel.where = join("and", []condition{where, document})
	sel.filtered = where != anything || document != anything
	return err
}

func (sel *selection) clause(r *reader, c clause) (condition, error) {
	value, err := r.value()
	if err != nil || value == nil {
		return anything, err
	}
	cond, err := c.compile(value)
	if errors.Is(err, errClause) {
		err = invalid("%s", c.text)
	}
	if sel.wrong == nil {
		sel.wrong = err
	}
	return cond, nil
}

func (sel *selection) readInclude(r *reader) error {
	sel.include = []string{}
	return r.array("an array", func() error {
		part, err := r.text("a string")
		if err == nil && !slices.Contains(included, part) {
			err = &typeError{fmt.Sprintf("unknown variant `%s`, expected one of `distances`, `documents`, `embeddings`, `metadatas`, `uris`", part)}
		}
		sel.include = append(sel.include, part)
		return err
	})
}

// items is the selection as memories take it. Nothing at all must have been sorted out before (see empty).
func (sel *selection) items() memory.ItemSelection {
	return memory.ItemSelection{
		IDs: sel.ids, Filter: sel.where.filter, Limit: max(sel.limit, 0), Offset: sel.offset, Vectors: slices.Contains(sel.include, "embeddings"),
	}
}

// empty reports whether the selection is none of the records, whatever they are.
func (sel *selection) empty() bool {
	return sel.where.nothing() || sel.limit == 0 || sel.ids != nil && len(sel.ids) == 0
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) error {
	sel := selection{include: []string{"documents", "metadatas"}}
	if err := s.body(w, r, sel.read); err != nil {
		return err
	}
	var items []memory.Item
	err := s.use(r, func(ctx context.Context, _ *collection, store *memory.Store) (err error) {
		if sel.wrong != nil {
			return sel.wrong
		}
		if !sel.empty() {
			items, err = store.Items(ctx, sel.items())
		}
		return err
	})
	if err != nil {
		return err
	}
	out := startAnswer(w)
	out.list(len(items), func(i int) { out.text(items[i].ID) })
	for _, part := range []string{"documents", "embeddings", "metadatas", "uris"} {
		out.part(&sel, part, func() {
			out.column(part, len(items), func(i int) *memory.Item { return &items[i] })
		})
	}
	return out.end(&sel)
}

func (s *Server) query(w http.ResponseWriter, r *http.Request) error {
	sel := selection{include: []string{"documents", "metadatas", "distances"}, k: 10}
	if err := s.body(w, r, sel.read); err != nil {
		return err
	}
	if !sel.asked {
		return missing("query_embeddings")
	}
	matches := make([][]memory.ItemMatch, len(sel.vectors))
	err := s.use(r, func(ctx context.Context, c *collection, store *memory.Store) error {
		if sel.wrong != nil {
			return sel.wrong
		}
		if err := alike(sel.vectors); err != nil {
			return err
		}
		n, err := store.Count(ctx, nil)
		if err != nil || n == 0 || sel.empty() || sel.k == 0 || len(sel.vectors) == 0 {
			return err
		}
		matches, err = store.NearestItems(ctx, sel.vectors, min(sel.k, n), c.Configuration.Space, sel.items())
		return err
	})
	if err != nil {
		return err
	}
	out := startAnswer(w)
	out.list(len(matches), func(q int) {
		out.list(len(matches[q]), func(i int) { out.text(matches[q][i].ID) })
	})
	for _, part := range []string{"documents", "embeddings", "metadatas", "uris"} {
		out.part(&sel, part, func() {
			out.list(len(matches), func(q int) {
				out.column(part, len(matches[q]), func(i int) *memory.Item { return &matches[q][i].Item })
			})
		})
	}
	out.part(&sel, "distances", func() {
		out.list(len(matches), func(q int) {
			out.list(len(matches[q]), func(i int) { out.float(matches[q][i].Distance) })
		})
	})
	return out.end(&sel)
}

// startAnswer begins the answer of get and query, before the ids.
func startAnswer(w http.ResponseWriter) *writer {
	w.Header().Set("Content-Type", "application/json")
	out := &writer{to: w}
	out.raw(`{"ids":`)
	return out
}

// part writes a part of an answer: null where it was not asked for.
func (w *writer) part(sel *selection, name string, value func()) {
	w.raw(`,"` + name + `":`)
	if !slices.Contains(sel.include, name) {
		w.raw("null")
		return
	}
	value()
}

// end finishes the answer. The client may have gone: that is nobody's error.
func (w *writer) end(sel *selection) error {
	w.raw(`,"include":`)
	w.list(len(sel.include), func(i int) { w.text(sel.include[i]) })
	w.raw("}")
	w.flush()
	return nil
}

func (w *writer) column(part string, n int, item func(i int) *memory.Item) {
	w.list(n, func(i int) {
		switch it := item(i); part {
		case "documents":
			w.optional(it.Document)
		case "uris":
			w.optional(it.URI)
		case "embeddings":
			w.vector(it.Vector)
		case "metadatas":
			switch {
			case len(it.Metadata) > 0:
				w.metadata(it.Metadata)
			case it.URI != nil: // which the real Chroma keeps among the metadata
				w.raw("{}")
			default:
				w.raw("null")
			}
		}
	})
}
