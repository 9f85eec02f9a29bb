package table

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// FuzzFilter compiles any filter; what it says of a row alone and what it says by columns must be the same.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`{"op":"eq","key":"k","value":1}`,
		`{"op":"nin","key":"k","value":["a",2.5,true,9007199254740993]}`,
		`{"op":"and","filters":[{"op":"gt","key":"k","value":1.5},{"op":"or","filters":[{"op":"contains","value":"soil"},{"op":"lte","key":"l","value":"b"}]}]}`,
		`{"op":"or","filters":[{"op":"notregex","value":"(?i)^le"},{"op":"ne","key":"timestamp","value":1795262400.5}]}`,
		`{"op":"lt","key":"k","value":9223372036854775807}`,
		`{"op":"regex","value":"soil.*"}`,
	} {
		f.Add([]byte(seed), []byte(`{"k":9007199254740993,"l":"b"}`), "soil and light")
	}
	var seq uint64
	c := chance{Rand: rand.New(rand.NewPCG(6, 6)), seq: &seq, ids: blockSlots + 100, dimension: 2, keys: []string{"k", "l"}}
	var rows []*Row
	for i := range blockSlots + 6 {
		rows = append(rows, c.row(fmt.Sprint(i), nil))
	}
	f.Fuzz(func(t *testing.T, filter, metadata []byte, text string) {
		var in api.Filter
		if json.Unmarshal(filter, &in) != nil {
			return
		}
		compiled, err := Compile(&in)
		if err != nil {
			return
		}
		rows := slices.Clone(rows)
		var m api.Metadata
		if json.Unmarshal(metadata, &m) == nil && good(m) {
			for _, at := range []int{3, 500, blockSlots + 2} { // one in place, one in a full block, one in the last
				r := *rows[at]
				r.Metadata, r.Text, r.NoText = m, text, false
				rows[at] = &r
			}
		}
		s := mustNew(t, Options{TimeKey: timeKey}, rows...).Snapshot()
		var want []*Row
		for _, r := range rows {
			if compiled.Match(r, timeKey) {
				want = append(want, r)
			}
		}
		if got := slices.Collect(s.ByAdding(Select{Filter: compiled})); !slices.Equal(got, want) {
			t.Errorf("%s: %d rows by columns, %d row by row", filter, len(got), len(want))
		}
	})
}

// good says whether metadata are as those of rows are.
func good(m api.Metadata) bool {
	for k, v := range m {
		v, err := Value(v)
		if err != nil {
			return false
		}
		m[k] = v
	}
	return true
}
