package minilm

// kernelsHere uses NEON, which every 64-bit ARM processor has.
func kernelsHere() kernels {
	k := portable()
	k.name = "neon"
	k.tile = tileNEON
	k.greatest = greatestNEON
	k.round = roundNEON
	k.gelu = geluNEON
	k.multiply = multiplyNEON
	return k
}

//go:noescape
func tileNEON(out []float32, stride int, x []int16, in int, xScale []float32, w []int8, scale, bias []float32)

// greatestNEON is the greatest absolute value in x, whose length is a multiple of 8, as roundNEON's.
//
//go:noescape
func greatestNEON(x []float32) float32

// roundNEON sets q to x·factor, rounded to even.
//
//go:noescape
func roundNEON(q []int16, x []float32, factor float32)

//go:noescape
func geluNEON(x []float32)

//go:noescape
func multiplyNEON(out []float32, outStride int, a []float32, aStride int, b []float32, bStride int, rows, inner, columns int)
