package vector

import "math"

// Metric says how far two vectors are apart.
type Metric string

// The metrics.
const (
	Cosine Metric = "cosine" // 1 − cosine of the angle: 0 (same direction) to 2 (opposite). A zero vector is 1 from all
	L2     Metric = "l2"     // the square of the Euclidean distance
	IP     Metric = "ip"     // 1 − inner product
)

// Dot returns the inner product of two vectors of the same length, summed in float64: no float32 overflows it.
func Dot(a, b []float32) float64 { return dot(a, b) }

// Distance measures a and b, of the same length. aa is Dot(a, a), which a caller with one a and many b has already.
// Equal vectors have the cosine and L2 distance 0, not nearly 0.
func Distance(metric Metric, a []float32, aa float64, b []float32) float64 {
	switch metric {
	case L2:
		return apart(a, b)
	case IP:
		return 1 - dot(a, b)
	}
	bb := dot(b, b)
	if aa == 0 || bb == 0 {
		return 1
	}
	// aa·bb lies between 2^-600 and 2^600: no overflow. For equal vectors it is a square, whose root is exact.
	return min(2, max(0, 1-dot(a, b)/math.Sqrt(aa*bb)))
}
