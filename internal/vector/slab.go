package vector

import "math"

// SlabRows is how many vectors a Slab holds.
const SlabRows = 64

// Slab is 64 vectors of one dimension in compact form. Row i may be set while others read other rows; a row that
// readers know is never set again (Clone the slab instead).
type Slab struct {
	stride int    // bytes of a row: the dimension, filled up with zeros to a multiple of 32
	codes  []int8 // SlabRows rows of -127 to 127

	// A row b is about scale·codes, and is not further from it than residue. length is |b|.
	// A row that does not fit this (zero, or longer or shorter than span) has the residue +Inf: it is never sifted out.
	scale, length, residue [SlabRows]float32
}

// span is the range of lengths, from 1/span to span, in which no step of a sieve in float32 overflows or loses bits.
const span = 1 << 40

// slack is a relative error above that of all float32 roundings in a sieve together: they are fewer than 40, each of
// 2^-24 at most of the terms.
const slack = 1.0 / (1 << 18)

// NewSlab makes a slab for vectors of a dimension.
func NewSlab(dimension int) *Slab {
	stride := (dimension + 31) &^ 31
	return &Slab{stride: stride, codes: make([]int8, SlabRows*stride)}
}

// Clone copies a slab.
func (s *Slab) Clone() *Slab {
	c := *s
	c.codes = append([]int8(nil), s.codes...)
	return &c
}

// Bytes is the memory that a slab takes.
func (s *Slab) Bytes() int64 { return int64(len(s.codes)) + 3*4*SlabRows + 32 }

// Set makes v row i. v is finite (see Check).
func (s *Slab) Set(i int, v []float32) {
	codes := s.codes[i*s.stride:][:s.stride]
	length := math.Sqrt(dot(v, v))
	if length == 0 || length > span || length < 1.0/span {
		clear(codes)
		s.scale[i], s.length[i], s.residue[i] = 0, 0, float32(math.Inf(1))
		return
	}
	scale := largest(v) / 127
	clear(codes[len(v):])
	residue := math.Sqrt(round8(codes, v, scale))
	s.scale[i], s.length[i] = scale, float32(length)
	s.residue[i] = float32(residue*(1+slack) + length*slack)
}
