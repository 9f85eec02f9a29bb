package table

import (
	"math/bits"
	"slices"
	"strings"
)

// decide answers a step for some rows of a block; both masks are parts of among.
func (st *step) decide(s *Snapshot, b *block, among *mask) verdict {
	switch st.kind {
	case all:
		return st.decideAll(s, b, among)
	case some:
		return st.decideSome(s, b, among)
	}
	var v verdict
	switch {
	case st.absent(b):
	case st.kind == contains || st.kind == matches || st.where == inRows:
		return verdict{maybe: *among}
	case st.kind == oneOf:
		st.equal(b.columns[st.column], among, &v.yes)
	case st.isText:
		st.compareTexts(s, b.columns[st.column], among, &v.yes)
	default:
		st.compareNumbers(b.columns[st.column], among, &v.yes)
	}
	if st.not {
		no := v.yes
		v.yes = *among
		v.yes.drop(&no)
	}
	return v
}

func (st *step) decideAll(s *Snapshot, b *block, among *mask) verdict {
	for i := range st.parts {
		if part := &st.parts[i]; !part.not && part.absent(b) {
			return verdict{}
		}
	}
	v := verdict{yes: *among}
	for i := range st.parts {
		left := v.yes // those that nothing has refused yet
		left.add(&v.maybe)
		if left.empty() {
			break
		}
		w := st.parts[i].decide(s, b, &left)
		v.yes.and(&w.yes)
		w.yes.add(&w.maybe)
		v.maybe = w.yes
		v.maybe.drop(&v.yes)
	}
	return v
}

func (st *step) decideSome(s *Snapshot, b *block, among *mask) verdict {
	var v verdict
	left := *among
	for i := range st.parts {
		if left.empty() {
			break
		}
		w := st.parts[i].decide(s, b, &left)
		v.yes.add(&w.yes)
		v.maybe.add(&w.maybe)
		left.drop(&w.yes)
	}
	v.maybe.drop(&v.yes)
	return v
}

// absent says, at a glance, that no row of the block has what the step looks for (not yet turned round by not). Where
// it does not say so, there may be one, or none.
func (st *step) absent(b *block) bool {
	switch {
	case st.kind == all || st.kind == some || st.where == inRows:
		return false
	case st.kind == contains || st.kind == matches:
		return b.grams != nil && !b.grams.may(st.grams)
	case st.where == nowhere || st.column >= len(b.columns) || b.columns[st.column].cells == nil:
		return true
	}
	sum := b.columns[st.column].summary
	switch {
	case sum == nil:
		return false
	case st.kind == oneOf:
		const many = blockSlots / 8 // to ask for each takes as long as to look
		return len(st.wants) < many && !slices.ContainsFunc(st.wants, sum.may)
	case st.isText && (st.op == "gt" || st.op == "gte"):
		return !sum.has(text) || !holds(st.op, strings.Compare(sum.highText, st.text))
	case st.isText:
		return !sum.has(text) || !holds(st.op, strings.Compare(sum.lowText, st.text))
	}
	return !sum.has(whole) && (!sum.has(number) || sum.highest < st.low || sum.lowest > st.up)
}

// equal sets the bits of those among whose cell is one of the wanted.
func (st *step) equal(c column, among, yes *mask) {
	if st.wanted == nil {
		for _, w := range st.wants {
			if c.summary == nil || c.summary.may(w) {
				equalTo(c.cells, w, among, yes)
			}
		}
		return
	}
	among.each(func(i int) {
		v := c.cells.at(i)
		if h := v.hash(); st.sieve[h>>58]>>(h>>52&63)&1 != 0 && st.wanted[v] {
			yes.set(i)
		}
	})
}

// equalTo sets the bits of those among whose cell is w.
func equalTo(c *cells, w cell, among, yes *mask) {
	for n, word := range among {
		if word != 0 {
			values, kinds := c.part(n)
			yes[n] |= equal(values, kinds, w, bits.Len64(word)) & word
		}
	}
}

// compareTexts sets the bits of those among whose cell is a string on the right side of the value.
func (st *step) compareTexts(s *Snapshot, c column, among, yes *mask) {
	among.each(func(i int) {
		if c.cells.kinds[i] == text && holds(st.op, strings.Compare(s.dict.texts[c.cells.bits[i]], st.text)) {
			yes.set(i)
		}
	})
}

// compareNumbers sets the bits of those among whose cell is a number on the right side of the value.
func (st *step) compareNumbers(c column, among, yes *mask) {
	for n, word := range among {
		if word != 0 {
			values, kinds := c.cells.part(n)
			yes[n] |= inside(values, kinds, st.low, st.up, bits.Len64(word)) & word
		}
	}
	if c.summary != nil && !c.summary.has(whole) {
		return
	}
	among.each(func(i int) {
		if c.cells.kinds[i] == whole {
			if c, _ := order(int64(c.cells.bits[i]), st.value); holds(st.op, c) {
				yes.set(i)
			}
		}
	})
}
