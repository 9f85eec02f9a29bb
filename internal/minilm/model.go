package minilm

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// The shape of the model.
const (
	vocabularySize = 30522
	width          = 384  // of a token's vector
	heads          = 12   // of attention
	headWidth      = 32   // width / heads
	inner          = 1536 // width of the feed-forward
	layerCount     = 6
	maxTokens      = 256 // of a text, with the two marks at its ends; what is longer is cut
)

//go:generate go run ./convert model.safetensors vocab.txt .

// The two files are strings, since those lie in the part of the binary that is mapped and never written.
var (
	//go:embed weights.bin
	weights string
	//go:embed vocab.txt
	vocabulary string
)

// Magic begins weights.bin; the convert tool writes it.
const Magic = "all-MiniLM-L6-v2 int8 1\n"

// BlockOutputs is the number of outputs whose weights lie together: in a block of 16 outputs, weight i of output o
// lies at (i/2)*32 + o*2 + i%2, which is how vector units want pairs of products.
const BlockOutputs = 16

// network is the weights. Bytes lie in the binary, numbers (350 KB) are decoded.
type network struct {
	kernels
	words      []int8     // vocabularySize × width
	wordScales string     // a float32 a word
	positions  string     // maxTokens × width float32: those of position and of sentence A, summed
	first      scaleShift // of the sum of word and position
	layers     []layer    // layerCount
}

// layer is one layer of the encoder.
type layer struct {
	attend     linear // width → 3 × width: query (already divided by √headWidth), key, value
	attended   linear // width → width
	afterwards scaleShift
	expand     linear // width → inner
	contract   linear // inner → width
	last       scaleShift
}

// scaleShift is the scale and shift of a layer normalisation.
type scaleShift struct{ gamma, beta []float32 }

// linear is y = scale·(W x) + bias, with W in bytes.
type linear struct {
	in, out  int
	weights  []int8    // blocks of BlockOutputs outputs
	scale    []float32 // an output
	bias     []float32
	outliers []outlier
}

// outlier is a weight far greater than those of its row (8 standard deviations and more): it is kept apart, as it
// would leave all others of its row too few steps. There are some hundreds, and the least cosine to the original rises
// from 0.995 to 0.998 with them.
type outlier struct {
	out, in uint16
	weight  float32
}

// readNetwork finds everything in file. What it returns points into it.
func readNetwork(file string, k kernels) (*network, error) {
	r := reader{rest: file}
	if r.take(len(Magic)) != Magic {
		return nil, errors.New("weights.bin is of another version: build coma again from a clean checkout")
	}
	n := &network{kernels: k}
	n.words = r.int8s(vocabularySize * width)
	n.wordScales = r.take(vocabularySize * 4)
	n.positions = r.take(maxTokens * width * 4)
	n.first = r.norm()
	n.layers = make([]layer, layerCount)
	for i := range n.layers {
		l := &n.layers[i]
		l.attend = r.linear(width, 3*width)
		l.attended = r.linear(width, width)
		l.afterwards = r.norm()
		l.expand = r.linear(width, inner)
		l.contract = r.linear(inner, width)
		l.last = r.norm()
	}
	if r.short || r.rest != "" {
		return nil, fmt.Errorf("weights.bin has %d bytes, which is not its size: build coma again from a clean checkout", len(file))
	}
	return n, nil
}

// reader takes one thing after the other from a file; past its end all are empty and short is set.
type reader struct {
	rest  string
	short bool
}

func (r *reader) take(n int) string {
	if n > len(r.rest) {
		r.rest, r.short = "", true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) int8s(n int) []int8 {
	s := r.take(n)
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.StringData(s))), len(s)) // never written to
}

func (r *reader) float32s(n int) []float32 {
	s := r.take(4 * n)
	f := make([]float32, len(s)/4)
	for i := range f {
		f[i] = float32At(s, i)
	}
	return f
}

func (r *reader) uint32() int {
	if s := r.take(4); s != "" {
		return int(binary.LittleEndian.Uint32([]byte(s)))
	}
	return 0
}

func (r *reader) norm() scaleShift {
	return scaleShift{gamma: r.float32s(width), beta: r.float32s(width)}
}

func (r *reader) linear(in, out int) linear {
	l := linear{in: in, out: out}
	l.weights = r.int8s(in * out)
	l.scale = r.float32s(out)
	l.bias = r.float32s(out)
	for range r.uint32() {
		s := r.take(8)
		if s == "" {
			break
		}
		o := outlier{
			out:    binary.LittleEndian.Uint16([]byte(s[0:2])),
			in:     binary.LittleEndian.Uint16([]byte(s[2:4])),
			weight: float32At(s, 1),
		}
		if int(o.out) >= out || int(o.in) >= in {
			r.short = true
			break
		}
		l.outliers = append(l.outliers, o)
	}
	return l
}

// float32At is number i of a run of little-endian numbers.
func float32At(s string, i int) float32 {
	_ = s[4*i+3]
	return math.Float32frombits(uint32(s[4*i]) | uint32(s[4*i+1])<<8 | uint32(s[4*i+2])<<16 | uint32(s[4*i+3])<<24)
}
