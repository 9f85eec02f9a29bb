package memory

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Bounds of a filter.
const (
	maxFilterDepth = 32
	maxFilterParts = 10_000
)

// condition says whether a record matches.
type condition func(*record) bool

// compile checks a filter and makes it a condition; nil matches everything. The errors wrap api.ErrInvalid.
//
// gt, gte, lt and lte compare numbers with numbers and strings (bytewise) with strings; a record whose value is of
// another kind, or that has none, does not match. in and nin need at least one value.
func compile(f *api.Filter) (condition, error) {
	if f == nil {
		return func(*record) bool { return true }, nil
	}
	parts := 0
	c, err := compilePart(f, 1, &parts)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return c, nil
}

func compilePart(f *api.Filter, depth int, parts *int) (condition, error) {
	if depth > maxFilterDepth {
		return nil, fmt.Errorf("is more than %d levels deep: %w", maxFilterDepth, api.ErrInvalid)
	}
	if *parts++; *parts > maxFilterParts {
		return nil, fmt.Errorf("has more than %d parts: %w", maxFilterParts, api.ErrInvalid)
	}
	switch f.Op {
	case "and", "or":
		return compileGroup(f, depth, parts)
	case "contains", "notcontains":
		if err := only(f, false, true); err != nil {
			return nil, err
		}
		part, ok := f.Value.(string)
		if !ok || part == "" {
			return nil, fmt.Errorf("%s needs a part of the text as its value: %w", f.Op, api.ErrInvalid)
		}
		want := f.Op == "contains"
		return func(r *record) bool { return strings.Contains(r.Text, part) == want }, nil
	case "in", "nin":
		if err := only(f, true, true); err != nil {
			return nil, err
		}
		set, err := valueSet(f)
		if err != nil {
			return nil, err
		}
		want := f.Op == "in"
		return func(r *record) bool {
			v, has := r.Metadata[f.Key]
			return (has && set[plain(v)]) == want
		}, nil
	case "eq", "ne", "gt", "gte", "lt", "lte":
		if err := only(f, true, true); err != nil {
			return nil, err
		}
		return compileComparison(f.Op, f.Key, f.Value)
	}
	return nil, fmt.Errorf("unknown op %q (eq, ne, gt, gte, lt, lte, in, nin, contains, notcontains, and, or): %w", f.Op, api.ErrInvalid)
}

func compileGroup(f *api.Filter, depth int, parts *int) (condition, error) {
	if err := only(f, false, false); err != nil {
		return nil, err
	}
	if len(f.Filters) == 0 {
		return nil, fmt.Errorf("%s needs filters: %w", f.Op, api.ErrInvalid)
	}
	conditions := make([]condition, len(f.Filters))
	for i := range f.Filters {
		c, err := compilePart(&f.Filters[i], depth+1, parts)
		if err != nil {
			return nil, err
		}
		conditions[i] = c
	}
	decides := f.Op == "or" // the first part with this answer decides
	return func(r *record) bool {
		for _, c := range conditions {
			if c(r) == decides {
				return decides
			}
		}
		return !decides
	}, nil
}

func compileComparison(op, key string, raw any) (condition, error) {
	v, err := value(raw)
	if err != nil {
		return nil, fmt.Errorf("%s %q: value %w", op, key, err)
	}
	v = plain(v)
	if op == "eq" || op == "ne" {
		want := op == "eq"
		return func(r *record) bool {
			got, has := r.Metadata[key]
			return (has && plain(got) == v) == want
		}, nil
	}
	if _, isBool := v.(bool); isBool {
		return nil, fmt.Errorf("%s %q: a bool has no order, compare it with eq or ne: %w", op, key, api.ErrInvalid)
	}
	holds := map[string]func(c int) bool{
		"gt":  func(c int) bool { return c > 0 },
		"gte": func(c int) bool { return c >= 0 },
		"lt":  func(c int) bool { return c < 0 },
		"lte": func(c int) bool { return c <= 0 },
	}[op]
	return func(r *record) bool {
		got, has := r.Metadata[key]
		if !has {
			return false
		}
		c, ok := order(plain(got), v)
		return ok && holds(c)
	}, nil
}

// valueSet reads the list of in and nin: any slice of values.
func valueSet(f *api.Filter) (map[any]bool, error) {
	list := reflect.ValueOf(f.Value)
	if !list.IsValid() || list.Kind() != reflect.Slice || list.Len() == 0 {
		return nil, fmt.Errorf("%s %q needs a list of at least one value: %w", f.Op, f.Key, api.ErrInvalid)
	}
	set := make(map[any]bool, list.Len())
	for i := range list.Len() {
		v, err := value(list.Index(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("%s %q: value %d %w", f.Op, f.Key, i, err)
		}
		set[plain(v)] = true
	}
	return set, nil
}

// only checks that a filter has the fields that its op reads, and no others: a misplaced one would be a condition that
// is silently not there.
func only(f *api.Filter, key, value bool) error {
	switch {
	case key && f.Key == "":
		return fmt.Errorf("%s needs a key: %w", f.Op, api.ErrInvalid)
	case !key && f.Key != "":
		return fmt.Errorf("%s takes no key (it has %q): %w", f.Op, f.Key, api.ErrInvalid)
	case !value && f.Value != nil:
		return fmt.Errorf("%s takes no value, but filters: %w", f.Op, api.ErrInvalid)
	case value && len(f.Filters) > 0:
		return fmt.Errorf("%s takes no filters, but a value: %w", f.Op, api.ErrInvalid)
	}
	return nil
}
