// Package minilm is all-MiniLM-L6-v2 in Go: it makes a vector of 384 numbers of a text, such that texts of like meaning
// get vectors of like direction. It is the model that the Python framework and Chroma use by default, so vectors of
// theirs and ours can be compared. Everything is inside the binary: no key, no network, no download.
//
// Read it in the order of the way that a text goes:
//
//   - tokenizer.go: a text becomes at most 256 numbers of word pieces (unicode8.go: whose letters and marks are meant);
//   - model.go: the network, its weights and where they lie in weights.bin;
//   - forward.go: six layers of attention and feed-forward, then the mean;
//   - kernel.go: the six loops in which all the time goes, in plain Go. kernel_amd64.s and kernel_arm64.s are the same
//     loops for the vector units, and give the same bits;
//   - this file: who may compute when.
//
// Weights are bytes (8 bits, one scale an output), activations are 16 bits wide in products and float32 elsewhere. The
// bytes are used where the operating system maps the binary: nothing is unpacked, and what is not used is not read.
// Folder convert makes weights.bin of the original, folder reference compares with it.
//
// A vector depends on its text alone: not on the texts beside it, the number of cores or the kind of processor.
package minilm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Model is the embedder. It is safe for concurrent use; one serves a whole process, and is best shared, since it holds
// at most one workspace a core, however many callers there are.
type Model struct {
	load  func() (*network, *tokenizer, error)
	works chan *workspace // as many as may compute at once; nil ones are not made yet
}

// New returns the model. It does no work: the vocabulary and what else must be decoded are so with the first text.
func New() *Model {
	return newModel(kernelsHere(), runtime.GOMAXPROCS(0))
}

// newModel computes with k, on at most cores threads at once.
func newModel(k kernels, cores int) *Model {
	m := &Model{works: make(chan *workspace, cores)}
	for range cores {
		m.works <- nil
	}
	var once sync.Once
	var n *network
	var t *tokenizer
	var err error
	m.load = func() (*network, *tokenizer, error) {
		once.Do(func() {
			if n, err = readNetwork(weights, k); err == nil {
				t, err = readTokenizer(vocabulary)
			}
		})
		return n, t, err
	}
	return m
}

// Name is what a memory remembers its vectors by.
func (m *Model) Name() string { return "minilm" }

// Dimension is the length of the vectors.
func (m *Model) Dimension() int { return width }

// unitTokens is how many tokens of short texts are computed together: enough that each weight is read from the cache
// seldom, few enough that their activations stay in it (64 × 1,536 × 4 bytes) and that cancelling is prompt.
const unitTokens = 64

// Embed returns one vector of length 1 a text, in order. Of a long text it sees the first 256 tokens (some 200 words of
// English), as the original does. An empty text has a vector, too. Texts are shared out among the cores; the only error
// beside a binary whose weights do not belong to it is the end of ctx, which is looked at between texts.
func (m *Model) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	n, t, err := m.load()
	if err != nil {
		return nil, fmt.Errorf("load minilm: %w", err)
	}
	tokens := make([][]uint16, len(texts))
	var units [][2]int // from and to, of texts that are computed together
	inUnit := 0
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("embed %d texts: %w", len(texts), err)
		}
		tokens[i] = t.encode(text, maxTokens)
		if len(units) == 0 || inUnit+len(tokens[i]) > unitTokens {
			units, inUnit = append(units, [2]int{i, i}), 0
		}
		inUnit += len(tokens[i])
		units[len(units)-1][1] = i + 1
	}

	vectors := make([][]float32, len(texts))
	var next atomic.Int64
	work := func() error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(units) {
				return nil
			}
			// A workspace is given back after each unit, so that a single question waits for no whole import.
			var w *workspace
			select {
			case <-ctx.Done():
				return ctx.Err()
			case w = <-m.works:
			}
			if w == nil {
				w = new(workspace)
			}
			if ctx.Err() == nil { // select chooses at random when both are ready
				n.forward(w, tokens[units[i][0]:units[i][1]], vectors[units[i][0]:units[i][1]])
			}
			m.works <- w
		}
	}
	others := make(chan error, cap(m.works))
	started := min(len(units), cap(m.works)) - 1
	for range started {
		go func() { others <- work() }()
	}
	err = work()
	for range started {
		if e := <-others; err == nil {
			err = e
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("embed %d texts: %w", len(texts), err)
	}
	return vectors, nil
}
