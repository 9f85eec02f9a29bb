package memory

import (
	"cmp"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// timeKey is the metadata key of the test's memories under which filters see the time.
const timeKey = "t"

// entry is a record of the model, with what only items have.
type entry struct {
	api.Record
	nullText   bool
	uri        *string
	references uint64
}

// model is a memory as its documentation says it, as plainly as can be: a slice in the order of adding.
type model struct {
	entries    []entry
	now        time.Time
	settings   Settings
	attributes map[string]string
	embedder   Embedder
}

func (m *model) find(id string) int {
	return slices.IndexFunc(m.entries, func(r entry) bool { return r.ID == id })
}

// purge removes what has expired: nobody sees it.
func (m *model) purge() {
	m.entries = slices.DeleteFunc(m.entries, func(r entry) bool {
		return !r.Expires.IsZero() && !m.now.Before(r.Expires) || m.settings.TTL > 0 && !m.now.Before(r.Time.Add(m.settings.TTL))
	})
}

// trim removes the oldest past the limit.
func (m *model) trim() {
	if m.settings.Limit == 0 || len(m.entries) <= m.settings.Limit {
		return
	}
	oldest := slices.Clone(m.entries)
	slices.SortStableFunc(oldest, func(a, b entry) int { return a.Time.Compare(b.Time) })
	for _, r := range oldest[:len(oldest)-m.settings.Limit] {
		m.entries = slices.Delete(m.entries, m.find(r.ID), m.find(r.ID)+1)
	}
}

func (m *model) get(sel api.Selection) []api.Record {
	sorted := slices.Clone(m.entries)
	slices.SortStableFunc(sorted, func(a, b entry) int { return a.Time.Compare(b.Time) })
	if !sel.Oldest {
		slices.Reverse(sorted)
	}
	var out []api.Record
	for _, r := range sorted {
		switch {
		case len(sel.IDs) > 0 && !slices.Contains(sel.IDs, r.ID):
		case !sel.Since.IsZero() && r.Time.Before(sel.Since):
		case !sel.Until.IsZero() && !r.Time.Before(sel.Until):
		case sel.Filter != nil && !holds(*sel.Filter, r.Record):
		default:
			out = append(out, r.Record)
		}
	}
	out = out[min(sel.Offset, len(out)):]
	if sel.Limit > 0 {
		out = out[:min(sel.Limit, len(out))]
	}
	return out
}

// items are the entries that sel chooses, as items.
func (m *model) items(sel ItemSelection) []Item {
	var out []Item
	for _, r := range m.entries {
		if (sel.IDs == nil || slices.Contains(sel.IDs, r.ID)) && (sel.Filter == nil || holds(*sel.Filter, r.Record)) {
			item := Item{ID: r.ID, URI: r.uri, Vector: r.Vector, Metadata: maps.Clone(map[string]any(r.Metadata))}
			if !r.nullText {
				item.Document = &r.Text
			}
			if _, has := item.Metadata[timeKey]; !has {
				if item.Metadata == nil {
					item.Metadata = map[string]any{}
				}
				item.Metadata[timeKey] = float64(r.Time.UnixMicro()) / 1e6
			}
			out = append(out, item)
		}
	}
	out = out[min(sel.Offset, len(out)):]
	if sel.Limit > 0 {
		out = out[:min(sel.Limit, len(out))]
	}
	return out
}

// write is what WriteItems does.
func (m *model) write(mode Mode, items []Item) {
	for _, item := range items {
		at := m.find(item.ID)
		if at < 0 && mode == UpdateItems || at >= 0 && mode == AddItems {
			continue
		}
		var r entry
		if at >= 0 {
			r = m.entries[at]
			r.Metadata = maps.Clone(r.Metadata)
		} else {
			r = entry{Record: api.Record{ID: item.ID, Time: m.now}, nullText: true}
		}
		if item.Document != nil {
			r.Text, r.nullText = *item.Document, false
		}
		if item.URI != nil {
			r.uri = item.URI
		}
		if item.Vector != nil {
			r.Vector = item.Vector
		}
		for key, v := range item.Metadata {
			if r.Metadata == nil {
				r.Metadata = api.Metadata{}
			}
			if r.Metadata[key] = v; v == nil {
				delete(r.Metadata, key)
			}
			if seconds := number(v); key == timeKey && seconds != nil {
				r.Time = time.UnixMicro(int64(math.Round(*seconds * 1e6))).UTC()
			}
		}
		if at >= 0 {
			m.entries[at] = r
		} else {
			m.entries = append(m.entries, r)
		}
	}
}

// holds is a second reading of what api.Filter says. All numbers of the test are small: float64 compares them rightly.
func holds(f api.Filter, r api.Record) bool {
	v, has := r.Metadata[f.Key]
	if f.Key == timeKey && !has {
		v, has = float64(r.Time.UnixMicro())/1e6, true
	}
	equal := func(x any) bool {
		return has && (v == x || number(v) != nil && number(x) != nil && *number(v) == *number(x))
	}
	compared := func() (int, bool) {
		a, b := number(v), number(f.Value)
		if a != nil && b != nil {
			return cmp.Compare(*a, *b), true
		}
		s, ok := v.(string)
		w, ok2 := f.Value.(string)
		return cmp.Compare(s, w), has && ok && ok2
	}
	c, ok := compared()
	switch f.Op {
	case "eq":
		return equal(f.Value)
	case "ne":
		return !equal(f.Value)
	case "gt":
		return ok && c > 0
	case "gte":
		return ok && c >= 0
	case "lt":
		return ok && c < 0
	case "lte":
		return ok && c <= 0
	case "in":
		return slices.ContainsFunc(f.Value.([]any), equal)
	case "nin":
		return !slices.ContainsFunc(f.Value.([]any), equal)
	case "contains":
		return strings.Contains(r.Text, f.Value.(string))
	case "notcontains":
		return !strings.Contains(r.Text, f.Value.(string))
	case "and":
		return !slices.ContainsFunc(f.Filters, func(g api.Filter) bool { return !holds(g, r) })
	case "or":
		return slices.ContainsFunc(f.Filters, func(g api.Filter) bool { return holds(g, r) })
	}
	panic(f.Op)
}

func number(v any) *float64 {
	r := reflect.ValueOf(v)
	var f float64
	switch {
	case !r.IsValid():
		return nil
	case r.CanInt():
		f = float64(r.Int())
	case r.CanFloat():
		f = r.Float()
	default:
		return nil
	}
	return &f
}
