package vector

import "golang.org/x/sys/cpu"

var fast = cpu.X86.HasAVX2 && cpu.X86.HasFMA

func dot(a, b []float32) float64 {
	if n := len(a) &^ 15; fast && n > 0 {
		return dotAVX2(&a[0], &b[0], n) + dotGo(a[n:], b[n:len(a)])
	}
	return dotGo(a, b)
}

func apart(a, b []float32) float64 {
	if n := len(a) &^ 15; fast && n > 0 {
		return apartAVX2(&a[0], &b[0], n) + apartGo(a[n:], b[n:len(a)])
	}
	return apartGo(a, b)
}

// dots is dotsGo for queries whose length is a multiple of 32.
func dots(dst []int32, rows []int8, query []int16) {
	if !fast || len(dst) == 0 || len(query) == 0 {
		dotsGo(dst, rows, query)
		return
	}
	_ = rows[len(dst)*len(query)-1]
	dotsAVX2(&dst[0], &rows[0], &query[0], len(dst), len(query))
}

func largest(v []float32) float32 {
	if n := len(v) &^ 15; fast && n > 0 {
		return max(largestAVX2(&v[0], n), largestGo(v[n:]))
	}
	return largestGo(v)
}

func round8(codes []int8, v []float32, scale float32) float64 {
	if n := len(v) &^ 15; fast && n > 0 {
		_ = codes[len(v)-1]
		return round8AVX2(&codes[0], &v[0], n, scale) + round8Go(codes[n:], v[n:], scale)
	}
	return round8Go(codes, v, scale)
}

// n is a multiple of 16, at least 16, in all of these.
//
//go:noescape
func dotAVX2(a, b *float32, n int) float64

//go:noescape
func apartAVX2(a, b *float32, n int) float64

// count is at least 1; stride, the bytes of a row, is a multiple of 32, at least 32.
//
//go:noescape
func dotsAVX2(dst *int32, rows *int8, query *int16, count, stride int)

//go:noescape
func largestAVX2(v *float32, n int) float32

//go:noescape
func round8AVX2(codes *int8, v *float32, n int, scale float32) float64
