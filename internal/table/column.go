package table

import (
	"hash/maphash"
	"math"
)

// maxColumns is how many metadata keys of a table have a column. Filters on keys that came later look into each row.
const maxColumns = 256

// cellKind says what the bits of a cell are.
type cellKind uint8

const (
	absent cellKind = iota
	text            // a code of the dictionary
	number          // a float64, or an int64 that is one exactly; never -0
	whole           // an int64 that no float64 is
	yes             // true
	no              // false
)

// cell is a metadata value in a form in which equal values, numbers by value, are equal.
type cell struct {
	kind cellKind
	bits uint64
}

// cellOf makes a cell of a value that is no string.
func cellOf(v any) cell {
	switch v := v.(type) {
	case bool:
		if v {
			return cell{kind: yes}
		}
		return cell{kind: no}
	case int64:
		if f := float64(v); f < 1<<63 && int64(f) == v {
			return cell{number, math.Float64bits(f)}
		}
		return cell{whole, uint64(v)}
	case float64:
		return cell{number, math.Float64bits(v + 0)} // -0 + 0 is 0
	}
	return cell{}
}

// hash spreads a cell over 64 bits.
func (c cell) hash() uint64 {
	h := (c.bits ^ uint64(c.kind)<<59) * 0x9E3779B97F4A7C15
	h ^= h >> 29
	return h * 0xBF58476D1CE4E5B9
}

// column is what the rows of one block have under one key.
type column struct {
	cells   *cells   // nil: none has the key
	summary *summary // nil while the block is not full
}

// cells has a cell for each slot; kinds and bits of slots that readers know do not change.
type cells struct {
	kinds [blockSlots]cellKind
	bits  [blockSlots]uint64
}

func (c *cells) at(i int) cell { return cell{c.kinds[i], c.bits[i]} }

// part returns cells 64·n to 64·n+63.
func (c *cells) part(n int) (*[64]uint64, *[64]cellKind) {
	return (*[64]uint64)(c.bits[64*n:]), (*[64]cellKind)(c.kinds[64*n:])
}

func (c *cells) set(i int, v cell) { c.kinds[i], c.bits[i] = v.kind, v.bits }

// summary says what the cells of a full block may be, so that most blocks need not be looked at. It may say too much
// (what is gone stays in it), never too little.
type summary struct {
	kinds             uint8 // a bit for each kind
	lowest, highest   float64
	lowText, highText string
	bloom             [128]uint64 // one word and three bits of it for each value
}

func summarise(c *cells, d dictionary) *summary {
	s := &summary{}
	for i := range blockSlots {
		s.add(c.at(i), d)
	}
	return s
}

func (s *summary) add(c cell, d dictionary) {
	if c.kind == absent {
		return
	}
	first := !s.has(c.kind)
	s.kinds |= 1 << c.kind
	switch c.kind {
	case number:
		f := math.Float64frombits(c.bits)
		if first {
			s.lowest, s.highest = f, f
		}
		s.lowest, s.highest = min(s.lowest, f), max(s.highest, f)
	case text:
		t := d.texts[c.bits]
		if first {
			s.lowText, s.highText = t, t
		}
		s.lowText, s.highText = min(s.lowText, t), max(s.highText, t)
	}
	word, bits := bloomed(c)
	s.bloom[word] |= bits
}

// has says whether a cell of a kind may be there.
func (s *summary) has(kind cellKind) bool { return s.kinds>>kind&1 != 0 }

// may says whether a cell equal to c may be there.
func (s *summary) may(c cell) bool {
	word, bits := bloomed(c)
	return s.bloom[word]&bits == bits
}

func bloomed(c cell) (word int, bits uint64) {
	h := c.hash()
	return int(h >> 57), 1<<(h>>51&63) | 1<<(h>>45&63) | 1<<(h>>39&63)
}

// dictionary gives each text of a column a code; equal texts have equal codes. Codes are never given anew: one that no
// cell has any more is left over until the table is built anew.
type dictionary struct {
	seed  maphash.Seed
	codes *finder
	texts []string // by code; readers see those of their time
}

func (d *dictionary) find(s string) (code uint32, ok bool) {
	return d.codes.find(maphash.String(d.seed, s), func(n uint32) bool { return int(n) < len(d.texts) && d.texts[n] == s })
}

// code returns the code of a text, which is new if need be.
func (d *dictionary) code(s string) uint32 {
	hash := maphash.String(d.seed, s)
	if code, ok := d.codes.find(hash, func(n uint32) bool { return d.texts[n] == s }); ok {
		return code
	}
	code := uint32(len(d.texts))
	d.texts = append(d.texts, s)
	d.codes = d.codes.add(hash, code, func(uint32) bool { return true })
	return code
}

// encode makes a cell of a value.
func (d *dictionary) encode(v any) cell {
	if s, ok := v.(string); ok {
		return cell{text, uint64(d.code(s))}
	}
	return cellOf(v)
}

// search makes a cell of a value without adding to the dictionary; not ok: no cell is equal to it.
func (d *dictionary) search(v any) (c cell, ok bool) {
	if s, isText := v.(string); isText {
		code, ok := d.find(s)
		return cell{text, uint64(code)}, ok
	}
	return cellOf(v), true
}
