package memory

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// timeline is records in time order, those of the same time in the order in which they were added.
type timeline []*record

// few is up to how many records are put in or taken out one by one (moving up to all others each time) rather than in
// one go over the whole line.
const few = 16

func compare(a, b *record) int {
	if c := a.Time.Compare(b.Time); c != 0 {
		return c
	}
	return cmp.Compare(a.seq, b.seq)
}

// insert adds records, in any order. New records are nearly always the newest: then this is an append.
func (l timeline) insert(records []*record) timeline {
	late := 0
	for i, r := range records {
		if len(l) == 0 || compare(l[len(l)-1], r) < 0 {
			l = append(l, r)
			continue
		}
		if late++; late > few {
			l = append(l, records[i:]...)
			slices.SortFunc(l, compare)
			return l
		}
		at, _ := slices.BinarySearchFunc(l, r, compare)
		l = slices.Insert(l, at, r)
	}
	return l
}

// remove takes records out that are in the line.
func (l timeline) remove(records []*record) timeline {
	if len(records) > few {
		gone := make(map[*record]bool, len(records))
		for _, r := range records {
			gone[r] = true
		}
		return slices.DeleteFunc(l, func(r *record) bool { return gone[r] })
	}
	for _, r := range records {
		if at, ok := slices.BinarySearchFunc(l, r, compare); ok {
			l = slices.Delete(l, at, at+1)
		}
	}
	return l
}

// between returns the part from since (inclusive) to until (exclusive); a zero time is no bound.
func (l timeline) between(since, until time.Time) timeline {
	from, to := 0, len(l)
	if !since.IsZero() {
		from = l.search(since)
	}
	if !until.IsZero() {
		to = l.search(until)
	}
	return l[from:max(from, to)]
}

// search returns the place of the first record that is not before t.
func (l timeline) search(t time.Time) int {
	return sort.Search(len(l), func(i int) bool { return !l[i].Time.Before(t) })
}
