package minilm

import "math"

// kernels are the loops in which the time goes. Each has a plain form here, and forms for vector units in assembly that
// give the very same bits: all sums are made in a stated order, of eight lanes where there are many, and products are
// rounded before they are added (the conversions float32(a*b) forbid the compiler to fuse them).
//
// Lengths of rows are multiples of 16 (of 8 suffices for gelu, softmax and layerNorm); numbers are finite.
type kernels struct {
	name string

	// tile applies a block of 16 outputs to 1 to tileRows rows of x: in numbers each (a multiple of 4), one behind the
	// other.
	// out[r*stride+o] = float32(Σ x[r*in+i]·w[o,i]) · (xScale[r]·scale[o]) + bias[o]; len(xScale) says how many rows.
	// See BlockOutputs for how w lies.
	tile func(out []float32, stride int, x []int16, in int, xScale []float32, w []int8, scale, bias []float32)

	// greatest is the greatest absolute value in x, and round sets q to x·factor, rounded to even (see quantise).
	greatest func(x []float32) float32
	round    func(q []int16, x []float32, factor float32)

	// gelu applies the Gaussian error linear unit to each number.
	gelu func(x []float32)

	// multiply is out = a·b for float32: rows × inner times inner × columns, columns a multiple of 16. Strides say
	// how far apart rows lie. Each sum begins with 0 and goes up.
	multiply func(out []float32, outStride int, a []float32, aStride int, b []float32, bStride int, rows, inner, columns int)

	// softmax makes shares of x: exp(x), divided by their sum.
	softmax func(x []float32)

	// layerNorm adds y to x, brings x to mean 0 and variance 1, scales by gamma and shifts by beta.
	layerNorm func(x, y, gamma, beta []float32)
}

// tileRows is how many rows the registers of a vector unit hold the sums of: 6 × 16 in 12 registers of 8.
const tileRows = 6

// portable are the kernels for any processor.
func portable() kernels {
	return kernels{
		name:      "portable",
		tile:      tileGo,
		greatest:  greatestGo,
		round:     roundGo,
		gelu:      geluGo,
		multiply:  multiplyGo,
		softmax:   softmaxGo,
		layerNorm: layerNormGo,
	}
}

func tileGo(out []float32, stride int, x []int16, in int, xScale []float32, w []int8, scale, bias []float32) {
	for r, xs := range xScale {
		var sum [BlockOutputs]int32
		row := x[r*in:][:in]
		for i := 0; i+1 < len(row); i += 2 {
			a, b := int32(row[i]), int32(row[i+1])
			pairs := (*[2 * BlockOutputs]int8)(w[i*BlockOutputs:])
			for o := range sum {
				sum[o] += a*int32(pairs[2*o]) + b*int32(pairs[2*o+1])
			}
		}
		for o, s := range sum {
			out[r*stride+o] = float32(float32(s)*float32(xs*scale[o])) + bias[o]
		}
	}
}

// quantise sets q to x as 16-bit parts of its greatest number, which becomes limit, rounded to even; x is q times what it
// returns.
func (k *kernels) quantise(q []int16, x []float32, limit float32) (scale float32) {
	greatest := k.greatest(x)
	if greatest < smallest {
		clear(q[:len(x)])
		return 0
	}
	k.round(q, x, limit/greatest)
	return greatest / limit
}

// smallest is what counts as nothing: dividing by less could overflow.
const smallest = 1e-30

func greatestGo(x []float32) (greatest float32) {
	for _, v := range x {
		greatest = max(greatest, math.Float32frombits(math.Float32bits(v)&^(1<<31)))
	}
	return greatest
}

// roundToEven added to and taken from a number of less than 2²² leaves it rounded, halves to even.
const roundToEven = 3 << 22

func roundGo(q []int16, x []float32, factor float32) {
	for i, v := range x {
		q[i] = int16(float32(v*factor) + roundToEven - roundToEven)
	}
}

// The Gaussian's integral is ½ + x·P(x²)/Q(x²) within 2·10⁻⁷ for |x| ≤ geluEnd, and 0 or 1 beyond; gelu is x times
// that. The fraction is a least squares fit at Chebyshev's points (reference/gelu.py).
const geluEnd = 5.6

const (
	geluP0, geluP1, geluP2, geluP3, geluP4         = 0.3989417552947998, 0.05831009894609451, 0.006161565892398357, 0.00040985611849464476, 7.28611166778137e-06
	geluQ1, geluQ2, geluQ3, geluQ4, geluQ5 float32 = 0.3128195106983185, 0.04259835556149483, 0.0032682367600500584, 0.00014657090650871396, 5.952846322543337e-07
)

func geluGo(x []float32) {
	for i, v := range x {
		c := max(min(v, geluEnd), -geluEnd)
		u := c * c
		p := float32(geluP4*u) + geluP3
		p = float32(p*u) + geluP2
		p = float32(p*u) + geluP1
		p = float32(p*u) + geluP0
		q := float32(geluQ5*u) + geluQ4
		q = float32(q*u) + geluQ3
		q = float32(q*u) + geluQ2
		q = float32(q*u) + geluQ1
		q = float32(q*u) + 1
		x[i] = v * (0.5 + float32(c*(p/q)))
	}
}

func multiplyGo(out []float32, outStride int, a []float32, aStride int, b []float32, bStride int, rows, inner, columns int) {
	for r := range rows {
		sums := out[r*outStride:][:columns]
		clear(sums)
		for i, f := range a[r*aStride:][:inner] {
			for c, g := range b[i*bStride:][:columns] {
				sums[c] += float32(f * g)
			}
		}
	}
}

// exp(x) is 2ⁿ·exp(x − n·ln 2), whose second factor is Taylor's polynomial to the sixth power: the next term is below
// 1.3·10⁻⁷ for arguments up to ½·ln 2. ln 2 is subtracted in two parts, of which n times the first is exact.
const (
	expLow   = -87 // exp of less would not be a normal number
	log2e    = math.Log2E
	ln2Upper = 0.693359375
	ln2Lower = math.Ln2 - ln2Upper
)

func exp(x float32) float32 {
	x = max(x, expLow)
	n := float32(x*log2e) + roundToEven - roundToEven
	r := x - float32(n*ln2Upper)
	r -= float32(n * ln2Lower)
	p := float32(r*(1.0/720)) + 1.0/120
	p = float32(p*r) + 1.0/24
	p = float32(p*r) + 1.0/6
	p = float32(p*r) + 1.0/2
	p = float32(p*r) + 1
	p = float32(p*r) + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

func softmaxGo(x []float32) {
	greatest := x[0]
	for _, v := range x {
		greatest = max(greatest, v)
	}
	var sum [8]float32
	for i, v := range x {
		e := exp(v - greatest)
		x[i] = e
		sum[i%8] += e
	}
	share := 1 / total(&sum)
	for i := range x {
		x[i] *= share
	}
}

// total sums lanes in the order that halves of a register are added in.
func total(l *[8]float32) float32 {
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

func layerNormGo(x, y, gamma, beta []float32) {
	part := 1 / float32(len(x))
	var sum, square [8]float32
	for i := range x {
		x[i] += y[i]
		sum[i%8] += x[i]
	}
	mean := float32(total(&sum) * part) // fusing reaches across statements
	for i, v := range x {
		d := v - mean
		square[i%8] += float32(d * d)
	}
	// The model's epsilon, 10⁻¹², is far below what float32 keeps of a variance.
	deviation := float32(math.Sqrt(float64(float32(total(&square)*part) + 1e-12)))
	factor := 1 / deviation
	for i, v := range x {
		x[i] = float32(float32((v-mean)*factor)*gamma[i]) + beta[i]
	}
}
