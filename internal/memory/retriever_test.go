package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestRetrieversByTime(t *testing.T) {
	s := open(t, temp(t), Options{})
	for i := range 12 {
		add(t, s, api.Record{Text: fmt.Sprint(i), Time: start.Add(time.Duration(i) * time.Second)})
	}
	latest := retrieve(t, s, api.Retrieval{ByTime: &api.ByTime{}})
	if texts(latest) != "11 10 9 8 7 6 5 4 3 2" {
		t.Errorf("the latest: %v", texts(latest))
	}
	oldest := retrieve(t, s, api.Retrieval{ByTime: &api.ByTime{Oldest: true}, Query: api.Query{
		K: 2, Filter: &api.Filter{Op: "contains", Value: "1"}, Until: start.Add(11 * time.Second),
	}})
	if texts(oldest) != "1 10" {
		t.Errorf("the oldest: %v", texts(oldest))
	}
}

// retrieve returns the records that a retrieval finds.
func retrieve(t *testing.T, s *Store, r api.Retrieval) []api.Record {
	t.Helper()
	matches, err := s.Retrieve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]api.Record, len(matches))
	for i, m := range matches {
		records[i] = m.Record
	}
	return records
}
