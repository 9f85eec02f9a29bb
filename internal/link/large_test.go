package link_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// manyRecords is the memory of a host that has nothing else: records of more than 100 bytes each.
type manyRecords struct {
	link.Local
	api.OpenedMemory
	count int
}

func (m manyRecords) OpenMemory(context.Context, string) (api.OpenedMemory, error) { return m, nil }

func (m manyRecords) Get(_ context.Context, sel api.Selection) ([]api.Record, error) {
	records := make([]api.Record, m.count)
	for i := range records {
		records[i] = api.Record{ID: fmt.Sprint(i), Text: strings.Repeat("x", 100)}
	}
	if sel.Limit > 0 {
		records = records[sel.Offset:][:sel.Limit]
	}
	return records, nil
}

func (m manyRecords) Query(ctx context.Context, q api.Query) ([]api.Match, error) {
	records, err := m.Get(ctx, api.Selection{Limit: q.K})
	matches := make([]api.Match, len(records))
	for i := range matches {
		matches[i].Record = records[i]
	}
	return matches, err
}

func (m manyRecords) Retrieve(ctx context.Context, r api.Retrieval) ([]api.Match, error) {
	return m.Query(ctx, r.Query)
}

func (manyRecords) Close() error { return nil }

// TestMemoryLargerThanAnAnswer: the call fails and says what to do, and the connection goes on.
func TestMemoryLargerThanAnAnswer(t *testing.T) {
	const count, fit = 10, 5
	server := link.NewServer(manyRecords{count: count}, "test")
	server.SetLargest(fit*140 + 2)
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	client, err := link.Dial(t.Context(), web.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	memory, err := client.OpenMemory(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	get := func(sel api.Selection) (int, error) {
		records, err := memory.Get(t.Context(), sel)
		return len(records), err
	}
	query := func(k int) (int, error) {
		matches, err := memory.Query(t.Context(), api.Query{K: k})
		return len(matches), err
	}
	retrieve := func(k int) (int, error) {
		matches, err := memory.Retrieve(t.Context(), api.Retrieval{Query: api.Query{K: k}, ByTime: &api.ByTime{}})
		return len(matches), err
	}
	for _, test := range []struct {
		name  string
		all   func() (int, error)
		told  string // what to do
		fewer func() (int, error)
	}{
		{"get", func() (int, error) { return get(api.Selection{}) }, "with a limit, and an offset or a time",
			func() (int, error) { return get(api.Selection{Offset: count - fit, Limit: fit}) }},
		{"query", func() (int, error) { return query(count) }, "a smaller k", func() (int, error) { return query(fit) }},
		{"retrieve", func() (int, error) { return retrieve(count) }, "a smaller k", func() (int, error) { return retrieve(fit) }},
	} {
		if n, err := test.all(); !errors.Is(err, api.ErrTooLarge) || !strings.Contains(err.Error(), test.told) {
			t.Errorf("%s: all of them: %d, %v", test.name, n, err)
		}
		if n, err := test.fewer(); err != nil || n != fit {
			t.Errorf("%s, as told: %d, %v, want %d", test.name, n, err, fit)
		}
	}
}

func TestCallLargerThanAFrame(t *testing.T) {
	err := link.LocalError(fmt.Errorf("encode memory.add: 300000000 bytes are %w", jsonrpc.ErrTooLarge))
	if !errors.Is(err, api.ErrTooLarge) || !strings.Contains(err.Error(), "several calls") {
		t.Error(err)
	}
}
