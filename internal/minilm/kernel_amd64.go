package minilm

import (
	"golang.org/x/sys/cpu"
)

// kernelsHere are the fastest ones that this processor has. Nearly every x86 processor since 2015 has AVX2.
func kernelsHere() kernels {
	if !cpu.X86.HasAVX2 {
		return portable()
	}
	return kernels{
		name:      "avx2",
		tile:      tileAVX2,
		greatest:  greatestAVX2,
		round:     roundAVX2,
		gelu:      geluAVX2,
		multiply:  multiplyAVX2,
		softmax:   softmaxAVX2,
		layerNorm: layerNormAVX2,
	}
}

// greatestAVX2 is the greatest absolute value in x, whose length is a multiple of 16, as roundAVX2's.
//
//go:noescape
func greatestAVX2(x []float32) float32

// roundAVX2 sets q to x·factor, rounded to even.
//
//go:noescape
func roundAVX2(q []int16, x []float32, factor float32)

//go:noescape
func tileAVX2(out []float32, stride int, x []int16, in int, xScale []float32, w []int8, scale, bias []float32)

//go:noescape
func geluAVX2(x []float32)

//go:noescape
func multiplyAVX2(out []float32, outStride int, a []float32, aStride int, b []float32, bStride int, rows, inner, columns int)

//go:noescape
func softmaxAVX2(x []float32)

func layerNormAVX2(x, y, gamma, beta []float32) {
	normaliseAVX2(x, y, gamma, beta, 1/float32(len(x)))
}

// normaliseAVX2 is layerNorm, given 1/len(x).
//
//go:noescape
func normaliseAVX2(x, y, gamma, beta []float32, part float32)
