package chroma

import "net/http"

// newName reads the name of what is to be made; an error about its length calls it field, as the real server does.
func (s *Server) newName(w http.ResponseWriter, r *http.Request, field string) (name string, err error) {
	err = s.body(w, r, func(in *reader) error {
		name, err = in.required("name")
		return err
	})
	if err != nil {
		return "", err
	}
	if len([]rune(name)) < 3 {
		return "", invalid("Validation error: %s: Validation error: length [{\"min\": Number(3), \"value\": String(%q)}]", field, name)
	}
	return name, nil
}

func (s *Server) createTenant(w http.ResponseWriter, r *http.Request) error {
	name, err := s.newName(w, r, "name")
	if err != nil {
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
	name, err := s.newName(w, r, "database_name")
	if err != nil {
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
