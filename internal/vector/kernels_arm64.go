package vector

// Every arm64 processor has NEON.

func dot(a, b []float32) float64 {
	if n := len(a) &^ 7; n > 0 {
		return dotNEON(&a[0], &b[0], n) + dotGo(a[n:], b[n:len(a)])
	}
	return dotGo(a, b)
}

func apart(a, b []float32) float64 {
	if n := len(a) &^ 7; n > 0 {
		return apartNEON(&a[0], &b[0], n) + apartGo(a[n:], b[n:len(a)])
	}
	return apartGo(a, b)
}

// dots is dotsGo for queries whose length is a multiple of 32.
func dots(dst []int32, rows []int8, query []int16) {
	if len(dst) == 0 || len(query) == 0 {
		return
	}
	_ = rows[len(dst)*len(query)-1]
	dotsNEON(&dst[0], &rows[0], &query[0], len(dst), len(query))
}

func largest(v []float32) float32 { return largestGo(v) }

func round8(codes []int8, v []float32, scale float32) float64 { return round8Go(codes, v, scale) }

// n is a multiple of 8, at least 8.
//
//go:noescape
func dotNEON(a, b *float32, n int) float64

//go:noescape
func apartNEON(a, b *float32, n int) float64

// count is at least 1; stride, the bytes of a row, is a multiple of 32, at least 32.
//
//go:noescape
func dotsNEON(dst *int32, rows *int8, query *int16, count, stride int)
