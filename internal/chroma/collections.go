package chroma

import (
	"net/http"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func (s *Server) listCollections(w http.ResponseWriter, r *http.Request) error {
	limit, offset, err := page(r)
	if err != nil {
		return err
	}
	collections, err := s.catalogue.list(r.Context(), r.PathValue("tenant"), r.PathValue("database"))
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, c := range cut(collections, limit, offset) {
		head, err := s.catalogue.head(c)
		if err != nil {
			return err
		}
		list = append(list, c.json(head))
	}
	return answer(w, http.StatusOK, list)
}

func (s *Server) countCollections(w http.ResponseWriter, r *http.Request) error {
	collections, err := s.catalogue.list(r.Context(), r.PathValue("tenant"), r.PathValue("database"))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, len(collections))
}

func (s *Server) createCollection(w http.ResponseWriter, r *http.Request) error {
	want := creation{}
	want.Tenant, want.Database = r.PathValue("tenant"), r.PathValue("database")
	if err := s.body(w, r, want.read); err != nil {
		return err
	}
	if _, ok, err := s.registry.find(want.Tenant, want.Database); err != nil {
		return err
	} else if !ok {
		return invalid("Database [%s] does not exist", want.Database)
	}
	c, err := s.catalogue.create(r.Context(), want)
	if err != nil {
		return err
	}
	return s.answerCollection(w, c)
}

func (s *Server) answerCollection(w http.ResponseWriter, c *collection) error {
	head, err := s.catalogue.head(c)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, c.json(head))
}

// read reads what is asked for. Older clients say in the metadata how the index is to be: the configuration counts where
// both do.
func (want *creation) read(r *reader) error {
	configuration, schema, there := []byte("null"), []byte("null"), false
	err := r.object("an object", func(key string) (err error) {
		switch key {
		case "name":
			there = true
			want.Name, err = r.text("a string")
		case "metadata":
			want.Metadata, err = r.collectionMetadata("metadata")
		case "configuration":
			configuration, err = r.between()
		case "schema":
			schema, err = r.between()
		case "get_or_create":
			want.orGet, err = r.boolean()
		default:
			err = r.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if !there {
		return missing("name")
	}
	want.Configuration = defaultConfiguration()
	if err := want.Configuration.fromMetadata(want.Metadata); err != nil {
		return err
	}
	if err := want.Configuration.fromSchema(schema); err != nil {
		return err
	}
	return (&reader{data: configuration}).readConfiguration(&want.Configuration)
}

// collectionMetadata reads the metadata of a collection: null is none, and an empty object is refused.
func (r *reader) collectionMetadata(field string) (api.Metadata, error) {
	metadata, err := r.metadata(false)
	if err == nil && metadata != nil && len(metadata) == 0 {
		err = invalid("Validation error: %s: Metadata cannot be empty", field)
	}
	return metadata, err
}

func (s *Server) getCollection(w http.ResponseWriter, r *http.Request) error {
	p := place{r.PathValue("tenant"), r.PathValue("database"), r.PathValue("collection")}
	c, err := s.catalogue.named(r.Context(), p)
	if err != nil {
		return err
	}
	if c == nil {
		return notFound("Collection [%s] does not exist", p.name)
	}
	return s.answerCollection(w, c)
}

func (s *Server) updateCollection(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("collection")
	if !idForm.MatchString(id) {
		return invalid("Collection ID is not a valid UUIDv4")
	}
	var want change
	if err := s.body(w, r, want.read); err != nil {
		return err
	}
	if err := s.catalogue.change(r.Context(), id, want); err != nil {
		return err
	}
	return answer(w, http.StatusOK, done)
}

func (want *change) read(r *reader) error {
	return r.object("an object", func(key string) error {
		if null, err := r.null(); null || err != nil {
			return err
		}
		switch key {
		case "new_name":
			name, err := r.text("a string")
			want.name = &name
			return err
		case "new_metadata":
			metadata, err := r.metadata(true)
			if err == nil && len(metadata) == 0 {
				return invalid("Validation error: new_metadata: Metadata cannot be empty")
			}
			for k, v := range metadata {
				if v == nil {
					delete(metadata, k)
				}
			}
			if len(metadata) == 0 {
				metadata = nil
			}
			want.metadata, want.hasMetadata = metadata, true
			return err
		case "new_configuration":
			text, err := r.between()
			if err != nil {
				return err
			}
			text = append([]byte(nil), text...)
			want.configuration = func(c *configuration) error { return (&reader{data: text}).readUpdate(c) }
			scratch := defaultConfiguration()
			return want.configuration(&scratch) // a wrong one is refused before anything is looked up
		}
		return r.skip()
	})
}

func (s *Server) deleteCollection(w http.ResponseWriter, r *http.Request) error {
	p := place{r.PathValue("tenant"), r.PathValue("database"), r.PathValue("collection")}
	if err := s.catalogue.delete(r.Context(), p); err != nil {
		return err
	}
	return answer(w, http.StatusOK, done)
}
