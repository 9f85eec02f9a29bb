package minilm

import "math"

// workspace is what a forward pass computes in. It belongs to one pass at a time, and grows to the greatest number of
// tokens that it has seen: some 18 KB a token.
type workspace struct {
	x      []float32 // tokens × width: what goes from layer to layer
	wide   []float32 // tokens × inner: queries, keys and values of a token, or the feed-forward's middle
	y      []float32 // tokens × width: what attention found, or what a layer adds to x
	z      []float32 // tokens × width
	q      []int16   // tokens × inner: the input of a linear
	qScale []float32 // tokens
	keys   []float32 // headWidth × padded tokens of a text: a head's keys, transposed
	values []float32 // tokens of a text × headWidth
	scores []float32 // tokens × padded tokens of a text
}

func (w *workspace) grow(tokens, longest int) {
	if cap(w.qScale) < tokens {
		w.x = make([]float32, tokens*width)
		w.wide = make([]float32, tokens*inner)
		w.y = make([]float32, tokens*width)
		w.z = make([]float32, tokens*width)
		w.q = make([]int16, tokens*inner)
		w.qScale = make([]float32, tokens)
	}
	if stride := scoreStride(longest); cap(w.scores) < stride*longest {
		w.keys = make([]float32, headWidth*stride)
		w.values = make([]float32, longest*headWidth)
		w.scores = make([]float32, longest*stride)
	}
}

// scoreStride is how far apart the rows of a text's scores and keys lie: rounded up to what kernels take, and never a
// power of two, at which rows would drive each other out of the cache.
func scoreStride(tokens int) int { return roundUp(tokens) + 16 }

func roundUp(n int) int { return (n + 15) &^ 15 }

// forward sets vectors to those of texts, which are token numbers. Texts lie behind each other as the rows of one
// matrix: only attention knows where one ends, so nothing is padded.
func (n *network) forward(w *workspace, texts [][]uint16, vectors [][]float32) {
	tokens, longest := 0, 0
	for _, text := range texts {
		tokens += len(text)
		longest = max(longest, len(text))
	}
	w.grow(tokens, longest)
	n.look(w, texts)
	x := w.x[:tokens*width]
	for i := range n.layers {
		l := &n.layers[i]
		n.apply(w, w.wide, x, tokens, &l.attend)
		n.attend(w, texts)
		n.apply(w, w.z, w.y, tokens, &l.attended)
		n.addNorm(x, w.z, &l.afterwards)
		n.apply(w, w.wide, x, tokens, &l.expand)
		n.gelu(w.wide[:tokens*inner])
		n.apply(w, w.z, w.wide, tokens, &l.contract)
		n.addNorm(x, w.z, &l.last)
	}
	for i, text := range texts {
		vectors[i] = mean(x[:len(text)*width])
		x = x[len(text)*width:]
	}
}

// look sets w.x to the vectors of words and their positions.
func (n *network) look(w *workspace, texts [][]uint16) {
	row := 0
	clear(w.y) // addNorm adds nothing here
	for _, text := range texts {
		for position, word := range text {
			x := w.x[row*width:][:width]
			scale := float32At(n.wordScales, int(word))
			weights := n.words[int(word)*width:][:width]
			for i := range x {
				x[i] = float32(float32(weights[i])*scale) + float32At(n.positions, position*width+i)
			}
			row++
		}
	}
	n.addNorm(w.x[:row*width], w.y, &n.first)
}

// apply sets out to l of in, row by row. A row goes in with 16 bits, as parts of its greatest number.
func (n *network) apply(w *workspace, out, in []float32, rows int, l *linear) {
	limit := inputLimit(l.in)
	for r := range rows {
		w.qScale[r] = n.quantise(w.q[r*l.in:][:l.in], in[r*l.in:][:l.in], limit)
	}
	// Blocks outside, rows inside: a block's weights stay in the first cache.
	tiles := (rows + tileRows - 1) / tileRows
	for o := 0; o < l.out; o += BlockOutputs {
		block := l.weights[o*l.in:][:BlockOutputs*l.in]
		scale, bias := l.scale[o:][:BlockOutputs], l.bias[o:][:BlockOutputs]
		for t := range tiles {
			from, to := t*rows/tiles, (t+1)*rows/tiles // 14 rows are 4, 5 and 5, not 6, 6 and 2
			n.tile(out[from*l.out+o:], l.out, w.q[from*l.in:], l.in, w.qScale[from:to], block, scale, bias)
		}
	}
	for _, o := range l.outliers {
		for r := range rows {
			out[r*l.out+int(o.out)] += float32(in[r*l.in+int(o.in)] * o.weight)
		}
	}
}

// inputLimit is the greatest number that a row of so many numbers may have as 16 bits, such that the sum of its
// products with bytes is within 32.
func inputLimit(in int) float32 {
	return float32(min(math.MaxInt16, math.MaxInt32/(127*in)))
}

// attend sets w.y to the values of w.wide, mixed by how near queries and keys are: softmax(Q Kᵀ) V for each head.
func (n *network) attend(w *workspace, texts [][]uint16) {
	from := 0
	for _, text := range texts {
		tokens := len(text)
		padded, stride := roundUp(tokens), scoreStride(tokens)
		clear(w.keys[:headWidth*stride]) // the padding's are 0
		for h := range heads {
			rows := w.wide[from*3*width+h*headWidth:]
			for t := range tokens {
				row := rows[t*3*width:]
				for i, v := range row[width:][:headWidth] {
					w.keys[i*stride+t] = v
				}
				copy(w.values[t*headWidth:], row[2*width:][:headWidth])
			}
			n.multiply(w.scores, stride, rows, 3*width, w.keys, stride, tokens, headWidth, padded)
			for t := range tokens {
				row := w.scores[t*stride:][:padded]
				for i := tokens; i < padded; i++ {
					row[i] = -math.MaxFloat32 // no share
				}
				n.softmax(row)
			}
			n.multiply(w.y[from*width+h*headWidth:], width, w.scores, stride, w.values, headWidth, tokens, tokens, headWidth)
		}
		from += tokens
	}
}

// addNorm adds y to x and normalises each row.
func (n *network) addNorm(x, y []float32, l *scaleShift) {
	for i := 0; i < len(x); i += width {
		n.layerNorm(x[i:i+width], y[i:i+width], l.gamma, l.beta)
	}
}

// mean is the mean of rows, at length 1.
func mean(rows []float32) []float32 {
	v := make([]float32, width)
	for len(rows) > 0 {
		for i, f := range rows[:width] {
			v[i] += f
		}
		rows = rows[width:]
	}
	var square float64
	for _, f := range v {
		square += float64(f) * float64(f) // exact, so that fusing changes nothing
	}
	length := float32(math.Sqrt(square))
	for i := range v {
		v[i] /= length
	}
	return v
}
