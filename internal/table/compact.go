package table

// wasteful says that more than half of the slots are empty.
func (s *Snapshot) wasteful() bool { return s.slots() > 2*s.rows+few }

// wordy says that more than half of the texts in the dictionary are those of no row.
func (s *Snapshot) wordy() bool { return len(s.dict.texts) > 2*s.texts+few }

// few slots, or texts, are not worth the work.
const few = 2 * blockSlots

// compacted returns s with few empty slots. Blocks that are mostly full stay as they are: where the oldest records go
// first, as under a limit, that is nearly all of them.
func (s *Snapshot) compacted() *Snapshot {
	c := *s
	c.blocks = nil
	moved := make([]uint32, len(s.blocks)*blockSlots) // the new slot plus one of each old one; 0: none
	var open *edit                                    // a block that is being filled with the rows of others
	for n, b := range s.blocks {
		if count := b.live.count(); count == 0 {
			continue
		} else if count > blockSlots*3/4 || n == len(s.blocks)-1 {
			open = nil
			c.blocks = append(c.blocks, b)
			b.live.each(func(i int) { moved[n*blockSlots+i] = uint32((len(c.blocks)-1)*blockSlots+i) + 1 })
			continue
		}
		b.live.each(func(i int) {
			if open == nil || open.full() {
				open = fresh()
				c.blocks = append(c.blocks, open.block)
			}
			to := open.used
			open.setVector(to, b.rows[i], nil)
			open.place(to, b.rows[i], &c.keys, &c.dict)
			open.setText(b.rows[i])
			moved[n*blockSlots+i] = uint32((len(c.blocks)-1)*blockSlots+to) + 1
		})
	}
	c.keys.own = false
	c.ids = s.ids.renumbered(s.rows, moved)
	c.line = timeline{}
	own := true
	for r := range s.line.runs(true, always, endOfTimes, s.time) {
		for slot := r.first; slot <= r.end(); slot++ {
			if moved[slot] != 0 {
				c.line.push(moved[slot]-1, &own)
			}
		}
	}
	return &c
}

// renumbered returns a finder with room for n numbers that has what f has under the numbers that they have moved to.
func (f *finder) renumbered(n int, moved []uint32) *finder {
	g := newFinder(n + n/2)
	for i := range f.cells {
		cell := f.cells[i].Load()
		if cell == 0 {
			continue
		}
		if to := moved[uint32(cell)-1]; to != 0 {
			g.put(cell>>32<<32 | uint64(to))
		}
	}
	return g
}
