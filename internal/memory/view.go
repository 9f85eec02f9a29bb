package memory

import (
	"cmp"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// view is what a memory holds at one moment. It never changes: the committer puts another in its place.
type view struct {
	head header
	snap *table.Snapshot
	due  time.Time // before it all rows of snap are there; from it on some may have expired. Zero: none ever will
}

// header is what a memory keeps beside its records. It never changes.
type header struct {
	space
	declared   string // the embedder whose vectors an empty memory is about to be given (see Declare)
	settings   Settings
	attributes map[string][]byte
}

// space is where vectors live: only vectors of one embedder, and of one dimension, can be compared.
type space struct {
	Embedder  string
	Dimension int // 0: no vector has come yet
}

// live narrows a selection to the rows that are there at now.
func (v *view) live(sel table.Select, now time.Time) table.Select {
	if v.due.IsZero() || now.Before(v.due) {
		return sel
	}
	sel.Now = now
	if since := v.head.settings.since(now); sel.Since.Before(since) {
		sel.Since = since
	}
	return sel
}

// count counts the rows that are there at now.
func (v *view) count(now time.Time) int {
	if v.due.IsZero() || now.Before(v.due) {
		return v.snap.Len()
	}
	return v.snap.Count(v.live(table.Select{}, now))
}

// ends returns the oldest and the newest row, nil where there are none.
func (v *view) ends(now time.Time) (oldest, newest *table.Row) {
	for r := range v.snap.ByTime(v.live(table.Select{}, now), true) {
		oldest = r
		break
	}
	for r := range v.snap.ByTime(v.live(table.Select{}, now), false) {
		newest = r
		break
	}
	return oldest, newest
}

// compare orders rows by time, those of the same time by when they were added.
func compare(a, b *table.Row) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Seq, b.Seq))
}
