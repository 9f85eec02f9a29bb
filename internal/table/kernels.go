package table

// The inner loops of filters in plain Go, over up to 64 cells of a column; kernels_amd64.s does the same for 64.

// equalGo has a bit for each cell that is w.
func equalGo(values []uint64, kinds []cellKind, w cell) uint64 {
	var found uint64
	kinds = kinds[:len(values)]
	for i, v := range values {
		var bit uint64
		if v == w.bits && kinds[i] == w.kind {
			bit = 1
		}
		found |= bit << i
	}
	return found
}

// insideGo has a bit for each cell that is a number from low to up, both included.
func insideGo(values []float64, kinds []cellKind, low, up float64) uint64 {
	var found uint64
	kinds = kinds[:len(values)]
	for i, v := range values {
		var bit uint64
		if low <= v && v <= up && kinds[i] == number {
			bit = 1
		}
		found |= bit << i
	}
	return found
}
