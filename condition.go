package coma

import (
	"fmt"
	"slices"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Option narrows what a Memory call works on. Which options a call takes is said there; others are ErrInvalid, since a
// limit that is not kept is worse than none.
type Option interface {
	choose(*choice)
}

// choice is what the options of one call come to.
type choice struct {
	api.Selection // without Filter
	conditions    []api.Filter
	named         bool     // by IDs, of which there may be none
	used          []string // the options' names
}

type option struct {
	name string
	set  func(*choice)
}

func (o option) choose(c *choice) {
	c.used = append(c.used, o.name)
	o.set(c)
}

// chosen reads the options of a call that takes conditions and those that taken names.
func chosen(call string, options []Option, taken ...string) (choice, error) {
	var c choice
	for _, o := range options {
		o.choose(&c)
	}
	for _, name := range c.used {
		if !slices.Contains(taken, name) {
			return c, fmt.Errorf("%s: %w: it does not take %s", call, ErrInvalid, name)
		}
	}
	return c, nil
}

// filter is all conditions as one; nil where there is none.
func (c choice) filter() *api.Filter {
	switch len(c.conditions) {
	case 0:
		return nil
	case 1:
		return &c.conditions[0]
	}
	return &api.Filter{Op: "and", Filters: c.conditions}
}

// narrow gives a query what the options say.
func (c choice) narrow(q *api.Query) {
	q.Since, q.Until, q.Filter, q.Vectors = c.Since, c.Until, c.filter(), c.Vectors
}

// nothing tells that the call chooses nothing: it names records, and the list of names is empty.
func (c choice) nothing() bool { return c.named && len(c.IDs) == 0 }

// Order is Oldest or Latest: an Option of Get, and a Retriever that reads no text.
type Order struct{ oldest bool }

// Oldest makes Get begin with the oldest record, and Retrieve take the oldest.
func Oldest() Order { return Order{oldest: true} }

// Latest makes Get begin with the newest record, as it does without, and Retrieve take the newest.
func Latest() Order { return Order{} }

func (o Order) choose(c *choice) {
	name := "Latest"
	if o.oldest {
		name = "Oldest"
	}
	c.used, c.Oldest = append(c.used, name), o.oldest
}

// Since leaves out records before t.
func Since(t time.Time) Option { return option{"Since", func(c *choice) { c.Since = t }} }

// Until leaves out records at and after t.
func Until(t time.Time) Option { return option{"Until", func(c *choice) { c.Until = t }} }

// IDs chooses records by their IDs; no ID at all chooses no record.
func IDs(ids ...string) Option {
	return option{"IDs", func(c *choice) { c.IDs, c.named = append(c.IDs, ids...), true }}
}

// WithVectors makes answers carry the records' vectors.
func WithVectors() Option { return option{"WithVectors", func(c *choice) { c.Vectors = true }} }

// Condition is an Option that chooses records by what is in them, such as coma.Key("mood").Equal("calm"). Several
// conditions in one call must all hold.
type Condition struct {
	filter api.Filter
}

func (c Condition) choose(to *choice) { to.conditions = append(to.conditions, c.filter) }

// Key begins a condition on the metadata value of that name. Numbers compare by value: 2 equals 2.0.
func Key(name string) KeyCondition { return KeyCondition{name} }

// KeyCondition is a Condition in the making; its methods finish it.
type KeyCondition struct{ name string }

func (k KeyCondition) is(op string, value any) Condition {
	return Condition{api.Filter{Op: op, Key: k.name, Value: value}}
}

// Equal holds where the value is there and equal.
func (k KeyCondition) Equal(value any) Condition { return k.is("eq", value) }

// NotEqual holds where the value differs or is not there.
func (k KeyCondition) NotEqual(value any) Condition { return k.is("ne", value) }

// Greater holds where the value is a number above.
func (k KeyCondition) Greater(value any) Condition { return k.is("gt", value) }

// AtLeast holds where the value is a number above or equal.
func (k KeyCondition) AtLeast(value any) Condition { return k.is("gte", value) }

// Less holds where the value is a number below.
func (k KeyCondition) Less(value any) Condition { return k.is("lt", value) }

// AtMost holds where the value is a number below or equal.
func (k KeyCondition) AtMost(value any) Condition { return k.is("lte", value) }

// In holds where the value is one of those given.
func (k KeyCondition) In(values ...any) Condition { return k.is("in", values) }

// NotIn holds where the value is none of those given, or is not there.
func (k KeyCondition) NotIn(values ...any) Condition { return k.is("nin", values) }

// Contains holds where the record's text has part in it, to the letter.
func Contains(part string) Condition {
	return Condition{api.Filter{Op: "contains", Value: part}}
}

// NotContains holds where the record's text does not have part in it.
func NotContains(part string) Condition {
	return Condition{api.Filter{Op: "notcontains", Value: part}}
}

// Matches holds where pattern, a regular expression as of package regexp, is found somewhere in the record's text.
func Matches(pattern string) Condition {
	return Condition{api.Filter{Op: "regex", Value: pattern}}
}

// NotMatches holds where pattern is nowhere found in the record's text.
func NotMatches(pattern string) Condition {
	return Condition{api.Filter{Op: "notregex", Value: pattern}}
}

// All holds where every one of conditions does.
func All(conditions ...Condition) Condition { return Condition{joined("and", conditions)} }

// Any holds where at least one of conditions does.
func Any(conditions ...Condition) Condition { return Condition{joined("or", conditions)} }

func joined(op string, conditions []Condition) api.Filter {
	f := api.Filter{Op: op}
	for _, c := range conditions {
		f.Filters = append(f.Filters, c.filter)
	}
	return f
}
