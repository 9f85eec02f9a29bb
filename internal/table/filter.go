package table

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Bounds of a filter.
const (
	maxFilterDepth  = 32
	maxFilterParts  = 10_000
	maxPatternBytes = 1 << 10
)

// Filter is a condition on a row that was checked and prepared by Compile. A nil Filter matches every row.
type Filter struct{ root node }

// node is one part of a filter. What it needs of these depends on its kind.
type node struct {
	kind    kind
	not     bool // of oneOf, contains and regex: the answer is turned round
	key     string
	values  map[any]bool // of oneOf, in plain form
	op      string       // of ordered: gt, gte, lt, lte
	value   any          // of ordered, in plain form
	text    string       // of contains
	pattern *regexp.Regexp
	parts   []node
}

// kind is what a node does.
type kind int

const (
	all      kind = iota // every part holds
	some                 // at least one part holds
	oneOf                // the value of key is one of values (eq, ne, in, nin)
	ordered              // the value of key is before or after value (gt, gte, lt, lte)
	contains             // the text has text in it
	matches              // the text matches pattern
)

// Compile checks a filter and prepares it; nil gives nil. The errors wrap api.ErrInvalid.
//
// gt, gte, lt and lte compare numbers with numbers and strings (bytewise) with strings; a row whose value is of another
// kind, or that has none, does not match. ne and nin match rows without the key. in and nin need at least one value.
// regex and notregex take a pattern in the syntax of package regexp (RE2) that is looked for anywhere in the text. A row
// without a text has no part and no pattern in it.
func Compile(f *api.Filter) (*Filter, error) {
	if f == nil {
		return nil, nil
	}
	parts := 0
	root, err := compilePart(f, 1, &parts)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return &Filter{root}, nil
}

// Match says whether a row matches. timeKey is that of the table's Options.
func (f *Filter) Match(r *Row, timeKey string) bool {
	return f == nil || f.root.match(r, timeKey)
}

func (n *node) match(r *Row, timeKey string) bool {
	switch n.kind {
	case all, some:
		decides := n.kind == some // the first part with this answer decides
		for i := range n.parts {
			if n.parts[i].match(r, timeKey) == decides {
				return decides
			}
		}
		return !decides
	case oneOf:
		v, has := lookup(r, n.key, timeKey)
		return (has && n.values[plain(v)]) != n.not
	case ordered:
		v, has := lookup(r, n.key, timeKey)
		if !has {
			return false
		}
		c, ok := order(plain(v), n.value)
		return ok && holds(n.op, c)
	case contains:
		return (!r.NoText && strings.Contains(r.Text, n.text)) != n.not
	default:
		return (!r.NoText && n.pattern.MatchString(r.Text)) != n.not
	}
}

// lookup finds what a filter sees of a row under key.
func lookup(r *Row, key, timeKey string) (any, bool) {
	v, has := r.Metadata[key]
	if !has && key == timeKey && key != "" {
		return seconds(r.Time), true
	}
	return v, has
}

// holds says whether op is true of two values of which c is the comparison.
func holds(op string, c int) bool {
	switch op {
	case "gt":
		return c > 0
	case "gte":
		return c >= 0
	case "lt":
		return c < 0
	}
	return c <= 0
}

func compilePart(f *api.Filter, depth int, parts *int) (node, error) {
	if depth > maxFilterDepth {
		return node{}, fmt.Errorf("is more than %d levels deep: %w", maxFilterDepth, api.ErrInvalid)
	}
	if *parts++; *parts > maxFilterParts {
		return node{}, fmt.Errorf("has more than %d parts: %w", maxFilterParts, api.ErrInvalid)
	}
	switch f.Op {
	case "and", "or":
		return compileGroup(f, depth, parts)
	case "contains", "notcontains", "regex", "notregex":
		return compileText(f)
	case "in", "nin":
		values, err := valueSet(f)
		return node{kind: oneOf, key: f.Key, values: values, not: f.Op == "nin"}, err
	case "eq", "ne", "gt", "gte", "lt", "lte":
		return compileComparison(f)
	}
	return node{}, fmt.Errorf("unknown op %q (eq, ne, gt, gte, lt, lte, in, nin, contains, notcontains, regex, notregex, and, or): %w", f.Op, api.ErrInvalid)
}

func compileGroup(f *api.Filter, depth int, parts *int) (node, error) {
	if err := only(f, false, false); err != nil {
		return node{}, err
	}
	if len(f.Filters) == 0 {
		return node{}, fmt.Errorf("%s needs filters: %w", f.Op, api.ErrInvalid)
	}
	n := node{kind: all, parts: make([]node, len(f.Filters))}
	if f.Op == "or" {
		n.kind = some
	}
	for i := range f.Filters {
		var err error
		if n.parts[i], err = compilePart(&f.Filters[i], depth+1, parts); err != nil {
			return node{}, err
		}
	}
	return n, nil
}

func compileText(f *api.Filter) (node, error) {
	if err := only(f, false, true); err != nil {
		return node{}, err
	}
	text, ok := f.Value.(string)
	n := node{kind: contains, text: text, not: strings.HasPrefix(f.Op, "not")}
	if strings.HasSuffix(f.Op, "contains") {
		if !ok || text == "" {
			return node{}, fmt.Errorf("%s needs a part of the text as its value: %w", f.Op, api.ErrInvalid)
		}
		return n, nil
	}
	if !ok || text == "" || len(text) > maxPatternBytes {
		return node{}, fmt.Errorf("%s needs a pattern of 1 to %d bytes as its value: %w", f.Op, maxPatternBytes, api.ErrInvalid)
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return node{}, fmt.Errorf("%s: %v: %w", f.Op, err, api.ErrInvalid)
	}
	n.kind, n.text, n.pattern = matches, "", pattern
	return n, nil
}

func compileComparison(f *api.Filter) (node, error) {
	if err := only(f, true, true); err != nil {
		return node{}, err
	}
	v, err := Value(f.Value)
	if err != nil {
		return node{}, fmt.Errorf("%s %q: value %w", f.Op, f.Key, err)
	}
	v = plain(v)
	if f.Op == "eq" || f.Op == "ne" {
		return node{kind: oneOf, key: f.Key, values: map[any]bool{v: true}, not: f.Op == "ne"}, nil
	}
	if _, isBool := v.(bool); isBool {
		return node{}, fmt.Errorf("%s %q: a bool has no order, compare it with eq or ne: %w", f.Op, f.Key, api.ErrInvalid)
	}
	return node{kind: ordered, key: f.Key, op: f.Op, value: v}, nil
}

// valueSet reads the list of in and nin: any slice of values.
func valueSet(f *api.Filter) (map[any]bool, error) {
	if err := only(f, true, true); err != nil {
		return nil, err
	}
	list := reflect.ValueOf(f.Value)
	if !list.IsValid() || list.Kind() != reflect.Slice || list.Len() == 0 {
		return nil, fmt.Errorf("%s %q needs a list of at least one value: %w", f.Op, f.Key, api.ErrInvalid)
	}
	set := make(map[any]bool, list.Len())
	for i := range list.Len() {
		v, err := Value(list.Index(i).Interface())
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
