package coma

import (
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Option narrows what a Memory call works on.
type Option interface {
	choose(*api.Selection)
}

type optionFunc func(*api.Selection)

func (f optionFunc) choose(sel *api.Selection) { f(sel) }

func selection(options []Option) api.Selection {
	var sel api.Selection
	for _, o := range options {
		o.choose(&sel)
	}
	return sel
}

// Oldest makes Get begin with the oldest record.
func Oldest() Option { return optionFunc(func(sel *api.Selection) { sel.Oldest = true }) }

// Since leaves out records before t.
func Since(t time.Time) Option { return optionFunc(func(sel *api.Selection) { sel.Since = t }) }

// Until leaves out records at and after t.
func Until(t time.Time) Option { return optionFunc(func(sel *api.Selection) { sel.Until = t }) }

// IDs chooses records by their IDs.
func IDs(ids ...string) Option {
	return optionFunc(func(sel *api.Selection) { sel.IDs = append(sel.IDs, ids...) })
}

// WithVectors makes answers carry the records' vectors.
func WithVectors() Option { return optionFunc(func(sel *api.Selection) { sel.Vectors = true }) }

// Condition is an Option that chooses records by what is in them, such as coma.Key("mood").Equal("calm"). Several
// conditions in one call must all hold.
type Condition struct {
	filter api.Filter
}

func (c Condition) choose(sel *api.Selection) {
	if sel.Filter == nil {
		sel.Filter = &c.filter
		return
	}
	sel.Filter = &api.Filter{Op: "and", Filters: []api.Filter{*sel.Filter, c.filter}}
}

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
