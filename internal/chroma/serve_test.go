package chroma

import (
	"net/http/httptest"
	"path/filepath"
	"testing"
)

func serve(t *testing.T) string {
	s := httptest.NewServer(New(Options{Memories: &fakes{stores: map[Key]*fake{}}, Databases: filepath.Join(t.TempDir(), "databases.json")}))
	t.Cleanup(s.Close)
	return s.URL
}
