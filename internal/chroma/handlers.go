package chroma

import (
	"mime"
	"net/http"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// done is the answer of operations that have nothing to tell.
var done = map[string]any{}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json"
}

// required reads an object in which one string must be.
func (r *reader) required(field string) (value string, err error) {
	there := false
	err = r.object("an object", func(key string) (err error) {
		if key != field {
			return r.skip()
		}
		there = true
		value, err = r.text("a string")
		return err
	})
	if err == nil && !there {
		err = missing(field)
	}
	return value, err
}

func missing(field string) error { return &typeError{"missing field `" + field + "`"} }

func checkLength(field, name string) error {
	if len([]rune(name)) < 3 {
		return invalid("Validation error: %s: Validation error: length [{\"min\": Number(3), \"value\": String(%q)}]", field, name)
	}
	return nil
}

func (s *Server) createTenant(w http.ResponseWriter, r *http.Request) error {
	var name string
	err := s.body(w, r, func(in *reader) (err error) {
		name, err = in.required("name")
		return err
	})
	if err != nil {
		return err
	}
	if err := checkLength("name", name); err != nil {
		return err
	}
	if err := s.registry.addTenant(name); err != nil {
		return err
	}
	return answer(w, http.StatusOK, done)
}

func (s *Server) getTenant(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("tenant")
	there, err := s.registry.hasTenant(name)
	if err != nil {
		return err
	}
	if !there {
		return notFound("Tenant [%s] not found", name)
	}
	return answer(w, http.StatusOK, map[string]any{"name": name, "resource_name": nil})
}

// updateTenant takes a resource name and forgets it, as the real server does on a single machine.
func (s *Server) updateTenant(w http.ResponseWriter, r *http.Request) error {
	err := s.body(w, r, func(in *reader) error {
		_, err := in.required("resource_name")
		return err
	})
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, done)
}

func (s *Server) listDatabases(w http.ResponseWriter, r *http.Request) error {
	limit, offset, err := page(r)
	if err != nil {
		return err
	}
	list, err := s.registry.list(r.PathValue("tenant"))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, append([]database{}, cut(list, limit, offset)...))
}

func (s *Server) createDatabase(w http.ResponseWriter, r *http.Request) error {
	var name string
	err := s.body(w, r, func(in *reader) (err error) {
		name, err = in.required("name")
		return err
	})
	if err != nil {
		return err
	}
	if err := checkLength("database_name", name); err != nil {
		return err
	}
	if err := s.registry.add(r.PathValue("tenant"), name); err != nil {
		return err
	}
	return answer(w, http.StatusOK, done)
}

func (s *Server) getDatabase(w http.ResponseWriter, r *http.Request) error {
	d, ok, err := s.registry.find(r.PathValue("tenant"), r.PathValue("database"))
	if err != nil {
		return err
	}
	if !ok {
		return notFound("Database [%s] not found. Are you sure it exists?", r.PathValue("database"))
	}
	return answer(w, http.StatusOK, d)
}

func (s *Server) deleteDatabase(w http.ResponseWriter, r *http.Request) error {
	tenant, name := r.PathValue("tenant"), r.PathValue("database")
	if err := s.registry.remove(tenant, name); err != nil {
		return err
	}
	collections, err := s.catalogue.list(r.Context(), tenant, name)
	if err != nil {
		return err
	}
	for _, c := range collections {
		if err := s.catalogue.delete(r.Context(), c.place()); err != nil {
			return err
		}
	}
	return answer(w, http.StatusOK, done)
}

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
