package vector

import "math"

// The inner loops in plain Go, which say what the assembly does. Sums of float64 may differ in the last bits, as the
// order of adding does; sums of integers are equal.

// dotGo returns Σ a[i]·b[i].
func dotGo(a, b []float32) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// apartGo returns Σ (a[i]−b[i])².
func apartGo(a, b []float32) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		d0, d1 := float64(a[i])-float64(b[i]), float64(a[i+1])-float64(b[i+1])
		d2, d3 := float64(a[i+2])-float64(b[i+2]), float64(a[i+3])-float64(b[i+3])
		s0, s1, s2, s3 = s0+d0*d0, s1+d1*d1, s2+d2*d2, s3+d3*d3
	}
	for ; i < len(a); i++ {
		d := float64(a[i]) - float64(b[i])
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}

// dotsGo sets dst[r] to Σ rows[r·len(query)+i]·query[i] for each row r. The caller sees to it that no sum overflows
// an int32.
func dotsGo(dst []int32, rows []int8, query []int16) {
	for r := range dst {
		row := rows[r*len(query):][:len(query)]
		var sum int32
		for i, q := range query {
			sum += int32(row[i]) * int32(q)
		}
		dst[r] = sum
	}
}

// largestGo returns the largest |v[i]|.
func largestGo(v []float32) float32 {
	var m float32
	for _, x := range v {
		m = max(m, float32(math.Abs(float64(x))))
	}
	return m
}

// round8Go sets codes to v/scale, rounded, and returns the sum of the squares of what rounding took:
// Σ (v[i] − scale·codes[i])². No |v[i]| is larger than 127·scale; scale is above 2^-100.
func round8Go(codes []int8, v []float32, scale float32) float64 {
	var sum float64
	inverse := 1 / scale
	codes = codes[:len(v)]
	for i, x := range v {
		c := math.RoundToEven(float64(x * inverse))
		codes[i] = int8(c)
		r := float64(x) - float64(scale)*c
		sum += r * r
	}
	return sum
}
