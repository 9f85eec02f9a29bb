package table

// grams says which runs of three bytes are in the texts of a full block: a bit for the hash of each. A text that is
// looked for and has a run that the block has not is nowhere in it, so that its rows need not be looked at. It may have
// too many bits (what is gone stays in it), never too few.
//
// A thousand sentences have some 5,000 different runs, a thousand pages five times as many: of 65,536 bits most are free.
type grams [1024]uint64

func (g *grams) add(text string) {
	for i := 0; i+3 <= len(text); i++ {
		h := gram(text[i], text[i+1], text[i+2])
		g[h>>6] |= 1 << (h & 63)
	}
}

// may says whether a text that has these runs may be there.
func (g *grams) may(runs []uint16) bool {
	for _, h := range runs {
		if g[h>>6]>>(h&63)&1 == 0 {
			return false
		}
	}
	return true
}

// maxGrams is how many runs of a text are looked for: more would hardly tell more.
const maxGrams = 32

func gramsOf(text string) []uint16 {
	var runs []uint16
	for i := 0; i+3 <= len(text) && len(runs) < maxGrams; i++ {
		runs = append(runs, gram(text[i], text[i+1], text[i+2]))
	}
	return runs
}

func gram(a, b, c byte) uint16 {
	return uint16((uint32(a) | uint32(b)<<8 | uint32(c)<<16) * 0x9E3779B1 >> 16)
}
