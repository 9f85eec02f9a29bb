package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/minilm"
)

// file is a safetensors file of one tensor.
func file(t testing.TB, header any, data []byte) []byte {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	f := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	return append(append(f, h...), data...)
}

func entry(kind string, shape []int, from, to int) map[string]any {
	return map[string]any{
		"__metadata__": map[string]string{"format": "pt"},
		"t":            map[string]any{"dtype": kind, "shape": shape, "data_offsets": []int{from, to}},
	}
}

func TestSafetensors(t *testing.T) {
	data := binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5))
	data = binary.LittleEndian.AppendUint32(data, math.Float32bits(-2))
	tensors, err := parseSafetensors(file(t, entry("F32", []int{2, 1}, 0, 8), data))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tensors["t"].float32s([]int{2, 1}); err != nil || len(got) != 2 || got[0] != 1.5 || got[1] != -2 {
		t.Errorf("the tensor is %v, %v", got, err)
	}
	if _, err := tensors["t"].float32s([]int{1, 2}); err == nil {
		t.Error("another shape is taken")
	}
	if _, err := tensors["u"].float32s([]int{2, 1}); err == nil {
		t.Error("a tensor that is not there is taken")
	}
	for name, wrong := range map[string][]byte{
		"nothing":         nil,
		"a long header":   binary.LittleEndian.AppendUint64(nil, 1<<40),
		"no JSON":         append(binary.LittleEndian.AppendUint64(nil, 2), "{]"...),
		"outside":         file(t, entry("F32", []int{2}, 4, 12), data),
		"before the file": file(t, entry("F32", []int{2}, 8, 0), data),
	} {
		if _, err := parseSafetensors(wrong); err == nil {
			t.Errorf("a file with %s is taken", name)
		}
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(file(f, entry("F32", []int{1}, 0, 4), make([]byte, 4)))
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, err := parseSafetensors(b)
		if err != nil {
			return
		}
		for _, x := range tensors {
			_, _ = x.float32s(x.shape) // no panic, whatever the shape
		}
	})
}

// TestBytes reads back what is written of a matrix: each weight is within half a step, the great one exact.
func TestBytes(t *testing.T) {
	const out, in = 32, 64
	r := rand.New(rand.NewPCG(1, 2))
	m, bias := make([]float32, out*in), make([]float32, out)
	for i := range m {
		m[i] = float32(r.NormFloat64())
	}
	want := append([]float32(nil), m...)
	m[5*in+7], want[5*in+7] = 50, 50 // in units of the others' deviation
	var w writer
	w.bytes(m, in, bias)
	if len(w.errs) > 0 || w.outliers != 0 {
		// 50 among 64 weights is not 8 deviations: see below.
		t.Fatalf("%d outliers, errors %v", w.outliers, w.errs)
	}
	written := w.out.Bytes()
	if n := out*in + 4*out + 4*out + 4; len(written) != n {
		t.Fatalf("%d bytes are written, not %d", len(written), n)
	}
	for o := range out {
		scale := math.Float32frombits(binary.LittleEndian.Uint32(written[out*in+4*o:]))
		for i := range in {
			at := o/minilm.BlockOutputs*minilm.BlockOutputs*in + i/2*32 + o%minilm.BlockOutputs*2 + i%2
			got := float32(int8(written[at])) * scale
			if d := math.Abs(float64(got - want[o*in+i])); d > float64(scale)*0.501 {
				t.Fatalf("weight %d of output %d is %v, not %v", i, o, got, want[o*in+i])
			}
		}
	}
}

func TestBytesKeepsOutliersApart(t *testing.T) {
	const out, in = 16, 384
	m := make([]float32, out*in)
	for i := range m {
		m[i] = float32(i%2*2-1) / 8
	}
	m[3*in+9] = 7.5
	var w writer
	w.bytes(m, in, make([]float32, out))
	var want bytes.Buffer
	for _, v := range []any{uint32(1), uint16(3), uint16(9), float32(7.5)} {
		if err := binary.Write(&want, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if w.outliers != 1 || !bytes.HasSuffix(w.out.Bytes(), want.Bytes()) {
		t.Errorf("%d outliers, and the end is % x, not % x", w.outliers, w.out.Bytes()[w.out.Len()-12:], want.Bytes())
	}
}

func TestConvertSaysWhatIsMissing(t *testing.T) {
	folder := t.TempDir()
	model := filepath.Join(folder, "model.safetensors")
	if err := os.WriteFile(model, file(t, entry("F32", []int{1}, 0, 4), make([]byte, 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	err := convert(model, filepath.Join(folder, "vocab.txt"), folder)
	if err == nil || !strings.Contains(err.Error(), "encoder.layer.5.output.dense.weight: not in the file") {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "weights.bin")); err == nil {
		t.Error("weights were written")
	}
}
