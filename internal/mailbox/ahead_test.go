package mailbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// TestPutAhead puts messages in a row before it waits for the disk; then they are there, in their order, each once.
func TestPutAhead(t *testing.T) {
	for _, durable := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "journal")
		s, _, err := Open(path, Options{Durable: durable})
		if err != nil {
			t.Fatal(err)
		}
		var waits []func() error
		for _, id := range []string{"1", "2", "1", "3", "2"} {
			written, err := s.Box("a").PutAhead(t.Context(), api.Message{ID: id}, true)
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, written)
		}
		for _, written := range waits {
			if err := written(); err != nil {
				t.Fatal(err)
			}
		}
		// Another store reads what the disk has, as after a kill.
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path+"-killed", data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		killed, _, err := Open(path+"-killed", Options{})
		if err != nil {
			t.Fatal(err)
		}
		ids := ""
		for _, m := range killed.Box("a").Waiting() {
			ids += m.ID
		}
		if ids != "123" {
			t.Errorf("durable %t: the disk has %q", durable, ids)
		}
		if err := killed.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
