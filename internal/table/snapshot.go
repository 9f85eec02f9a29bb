package table

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Snapshot is a table at one moment. Any number of goroutines may read it.
type Snapshot struct {
	opt  Options
	rows []*Row // in the order of adding
	ids  map[string]*Row
}

// Select says which rows are meant: those for which all that is set here holds.
type Select struct {
	IDs          []string  // nil: any. Unknown ones are passed over, repeated ones count once.
	Since, Until time.Time // from Since, up to but not with Until
	Filter       *Filter
	Now          time.Time // rows with Expires at or before it are not there; zero: all are
}

// Metric says how near two vectors are.
type Metric string

// The metrics. A zero vector has the cosine distance 1 to all.
const (
	Cosine Metric = "cosine" // 1 − cosine of the angle: 0 (same direction) to 2 (opposite)
	L2     Metric = "l2"     // the square of the Euclidean distance
	IP     Metric = "ip"     // 1 − inner product
)

// Hit is one answer of Nearest.
type Hit struct {
	Row      *Row
	Distance float64
}

// Len counts the rows.
func (s *Snapshot) Len() int { return len(s.rows) }

// Dimension is that of all vectors; 0 where there are none and none was asked for.
func (s *Snapshot) Dimension() int { return s.opt.Dimension }

// Bytes estimates the memory that the rows and all that is built over them take.
func (s *Snapshot) Bytes() int64 { return int64(len(s.rows)) * int64(100+4*s.opt.Dimension) }

// Get returns the row with an ID, or nil.
func (s *Snapshot) Get(id string) *Row { return s.ids[id] }

// ByTime returns the selected rows in the order of time, newest first unless oldest; rows of the same time in the
// order (or the reverse) of adding.
func (s *Snapshot) ByTime(sel Select, oldest bool) iter.Seq[*Row] {
	rows := slices.Collect(s.ByAdding(sel))
	slices.SortStableFunc(rows, func(a, b *Row) int { return cmp.Compare(a.Time.UnixMicro(), b.Time.UnixMicro()) })
	if !oldest {
		slices.Reverse(rows)
	}
	return slices.Values(rows)
}

// ByAdding returns the selected rows in the order of adding.
func (s *Snapshot) ByAdding(sel Select) iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		for _, r := range s.rows {
			switch {
			case sel.IDs != nil && !slices.Contains(sel.IDs, r.ID):
			case !sel.Since.IsZero() && r.Time.Before(sel.Since):
			case !sel.Until.IsZero() && !r.Time.Before(sel.Until):
			case !sel.Now.IsZero() && !r.Expires.IsZero() && !r.Expires.After(sel.Now):
			case !sel.Filter.Match(r, s.opt.TimeKey):
			default:
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Count counts the selected rows.
func (s *Snapshot) Count(sel Select) int {
	n := 0
	for range s.ByAdding(sel) {
		n++
	}
	return n
}

// Expired returns the rows whose Expires is at or before now, in the order of adding.
func (s *Snapshot) Expired(now time.Time) []*Row {
	var rows []*Row
	for _, r := range s.rows {
		if !r.Expires.IsZero() && !r.Expires.After(now) {
			rows = append(rows, r)
		}
	}
	return rows
}

// Oldest returns the n oldest rows by time, oldest first.
func (s *Snapshot) Oldest(n int) []*Row {
	rows := slices.Collect(s.ByTime(Select{}, true))
	return rows[:min(max(n, 0), len(rows))]
}

// Nearest returns the k nearest of the selected rows that have a vector, nearest first, equally near ones in the order
// of adding. It is exact. A vector of another dimension or with a NaN or an infinity in it is refused with an error
// that wraps api.ErrInvalid.
func (s *Snapshot) Nearest(ctx context.Context, vector []float32, k int, metric Metric, sel Select) ([]Hit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.opt.Dimension != 0 && len(vector) != s.opt.Dimension {
		return nil, fmt.Errorf("vector has %d dimensions, not %d: %w", len(vector), s.opt.Dimension, api.ErrInvalid)
	}
	var hits []Hit
	for r := range s.ByAdding(sel) {
		if r.Vector != nil {
			hits = append(hits, Hit{r, distance(vector, r.Vector, metric)})
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(a.Distance, b.Distance) })
	return hits[:min(max(k, 0), len(hits))], nil
}

func distance(a, b []float32, metric Metric) float64 {
	var dot, aa, bb, dd float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb, dd = dot+x*y, aa+x*x, bb+y*y, dd+(x-y)*(x-y)
	}
	switch {
	case metric == IP:
		return 1 - dot
	case metric == L2:
		return dd
	case aa == 0 || bb == 0:
		return 1
	}
	return math.Max(0, 1-dot/math.Sqrt(aa*bb))
}
