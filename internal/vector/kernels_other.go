//go:build !amd64 && !arm64

package vector

func dot(a, b []float32) float64   { return dotGo(a, b) }
func apart(a, b []float32) float64 { return apartGo(a, b) }

func dots(dst []int32, rows []int8, query []int16) { dotsGo(dst, rows, query) }

func largest(v []float32) float32 { return largestGo(v) }

func round8(codes []int8, v []float32, scale float32) float64 { return round8Go(codes, v, scale) }
