package vector

import (
	"math"
	"math/bits"
)

// Query is a vector that others are to be near to.
type Query struct {
	metric Metric
	vector []float32
	square float64 // Dot(vector, vector)

	// The vector is about scale·codes, and residue is how far from it. codes are filled up as a Slab's rows are.
	codes          []int16
	scale, residue float64
	sieve          bool // false: out of span, nothing is ever sifted out
}

// NewQuery prepares v, which is finite (see Check) and not changed while the query is in use.
func NewQuery(metric Metric, v []float32) *Query {
	q := &Query{metric: metric, vector: v, square: Dot(v, v), codes: make([]int16, (len(v)+31)&^31)}
	length := math.Sqrt(q.square)
	if q.sieve = length <= span && length >= 1.0/span; !q.sieve {
		return q
	}
	var sum float64 // of |v|
	for _, x := range v {
		sum += math.Abs(float64(x))
	}
	// As fine as int16 allows, and coarse enough that no sum of |codes|·127 passes an int32, rounding included.
	q.scale = max(float64(largest(v))/math.MaxInt16, sum/(math.MaxInt32/127-float64(len(v))))
	var square float64
	for i, x := range v {
		c := math.RoundToEven(float64(x) / q.scale)
		q.codes[i] = int16(c)
		r := float64(x) - q.scale*c
		square += r * r
	}
	q.residue = math.Sqrt(square)
	return q
}

// Distance measures the query and v.
func (q *Query) Distance(v []float32) float64 { return Distance(q.metric, q.vector, q.square, v) }

// Sift returns those of rows (a bit each) of a slab whose distance may be limit or less. Those that it leaves out are
// further away for certain.
//
// Why: let a be the query and b a row, â and b̂ their compact forms, ra = a − â and rb = b − b̂ what rounding took. Then
//
//	a·b = â·b̂ + â·rb + ra·b   and so, by Cauchy and Schwarz,   a·b ≤ â·b̂ + |â||rb| + |ra||b| =: u.
//
// â·b̂ is the integer product of the codes times both scales, without error; the lengths are kept with the codes. A row
// at a distance t or less has
//
//	cosine  a·b ≥ (1−t)|a||b|             so u − (1−t)|a||b| ≥ 0
//	IP      a·b ≥ 1−t                     so u − (1−t) ≥ 0
//	L2      a·b = (|a|²+|b|²−d)/2, d ≤ t  so u − |b|²/2 + (t−|a|²)/2 ≥ 0
//
// which is product·scale + residue·B + length·C + length²·E + F ≥ 0 with B to F the same for all rows. It is computed in
// float32; what that may lose is given back beforehand: each residue has slack·|b| added, which is slack·|a||b| in the
// sum, and the squares of L2 are made smaller by slack; the distance of IP, 1 − a·b, is itself rounded in float64. Where a number is infinite or not one, the comparison lets
// the row through.
func (q *Query) Sift(s *Slab, rows uint64, limit float64) uint64 {
	if !q.sieve || math.IsInf(limit, 1) {
		return rows
	}
	var products [SlabRows]int32
	q.products(&products, s, rows)

	length := math.Sqrt(q.square)
	a, b, c := float32(q.scale), float32(length+q.residue), float32(q.residue)
	var e, f float32
	switch q.metric {
	case L2:
		e = -0.5 * (1 - slack)
		f = float32((limit - q.square*(1-slack)) / 2)
	case IP:
		f = float32(limit - 1 + 0x1p-51*(1+math.Abs(limit)))
	default:
		c = float32(q.residue - (1-limit)*length)
	}
	var pass uint64
	for i, p := range products[:bits.Len64(rows)] {
		n := s.length[i]
		if !(s.scale[i]*float32(p)*a+s.residue[i]*b+n*c+n*n*e+f < 0) {
			pass |= 1 << i
		}
	}
	return pass & rows
}

// products multiplies the codes of the query with those of rows; of the others some, as it comes, but none behind the
// last, which may be on its way.
func (q *Query) products(dst *[SlabRows]int32, s *Slab, rows uint64) {
	const group = 4 // rows that the kernels do at once
	last := bits.Len64(rows)
	for i := 0; i < last; {
		if rows>>i&(1<<group-1) == 0 {
			i += group
			continue
		}
		end := i + group
		for end < last && rows>>end&(1<<group-1) != 0 {
			end += group
		}
		end = min(end, last)
		dots(dst[i:end], s.codes[i*s.stride:end*s.stride], q.codes)
		i = end
	}
}
