package table

import "sync/atomic"

// finder finds numbers by the hash of a string that its user has under that number: slots by ID, codes by text.
//
// One goroutine adds, any number search meanwhile, without locks: cells are only ever filled. A snapshot that searches
// in a finder to which more was added since passes over what is not of its time, as its own rows tell. When a finder
// is full, a bigger one takes its place in later snapshots; that is also when numbers that mean nothing any more go.
type finder struct {
	// A cell is 0, or the upper half of the hash, and the number plus one in the lower half. The hash says where the
	// search begins; it goes on with the next cell up to an empty one.
	cells []atomic.Uint64
	used  int // cells filled; of the writer alone
}

const minFinder = 64

func newFinder(numbers int) *finder {
	size := minFinder
	for size*3/4 <= numbers {
		size *= 2
	}
	return &finder{cells: make([]atomic.Uint64, size)}
}

// find returns the number under hash that is the right one.
func (f *finder) find(hash uint64, right func(n uint32) bool) (uint32, bool) {
	last := len(f.cells) - 1
	for i := int(hash>>32) & last; ; i = (i + 1) & last {
		cell := f.cells[i].Load()
		if cell == 0 {
			return 0, false
		}
		if cell>>32 == hash>>32 {
			if n := uint32(cell) - 1; right(n) {
				return n, true
			}
		}
	}
}

// add puts a number in that is not there yet, and returns the finder that has it: f, or a bigger one with those of f
// that keep says.
func (f *finder) add(hash uint64, n uint32, keep func(n uint32) bool) *finder {
	if f.used >= len(f.cells)*3/4 {
		f = f.grown(keep)
	}
	f.put(hash&^(1<<32-1) | uint64(n+1))
	return f
}

func (f *finder) put(cell uint64) {
	last := len(f.cells) - 1
	i := int(cell>>32) & last
	for f.cells[i].Load() != 0 {
		i = (i + 1) & last
	}
	f.cells[i].Store(cell)
	f.used++
}

func (f *finder) grown(keep func(n uint32) bool) *finder {
	var kept []uint64
	for i := range f.cells {
		if cell := f.cells[i].Load(); cell != 0 && keep(uint32(cell)-1) {
			kept = append(kept, cell)
		}
	}
	g := newFinder(2 * len(kept))
	for _, cell := range kept {
		g.put(cell)
	}
	return g
}
