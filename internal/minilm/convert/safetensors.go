package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
)

// tensor is one entry of a safetensors file: little-endian numbers in rows.
type tensor struct {
	kind  string // "F32" is what this model has
	shape []int
	data  []byte
}

// readSafetensors reads a file of that format: the length of a header (8 bytes, little-endian), the header (JSON: of
// each tensor its kind, shape and place), then the tensors (https://github.com/huggingface/safetensors).
func readSafetensors(path string) (map[string]tensor, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseSafetensors(file)
}

func parseSafetensors(file []byte) (map[string]tensor, error) {
	if len(file) < 8 {
		return nil, errors.New("not a safetensors file: it has no header")
	}
	length := binary.LittleEndian.Uint64(file)
	if length > uint64(len(file)-8) {
		return nil, errors.New("not a safetensors file: its header is longer than the file")
	}
	header, data := file[8:8+length], file[8+length:]
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	delete(entries, "__metadata__")
	tensors := make(map[string]tensor, len(entries))
	for name, raw := range entries {
		var entry struct {
			Kind    string    `json:"dtype"`
			Shape   []int     `json:"shape"`
			Offsets [2]uint64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &entry); err != nil {
			return nil, fmt.Errorf("read header of tensor %s: %w", name, err)
		}
		if entry.Offsets[0] > entry.Offsets[1] || entry.Offsets[1] > uint64(len(data)) {
			return nil, fmt.Errorf("tensor %s lies outside of the file", name)
		}
		tensors[name] = tensor{kind: entry.Kind, shape: entry.Shape, data: data[entry.Offsets[0]:entry.Offsets[1]]}
	}
	return tensors, nil
}

// float32s returns a copy of the numbers of a tensor that must be of shape.
func (t tensor) float32s(shape []int) ([]float32, error) {
	if t.kind == "" {
		return nil, errors.New("not in the file")
	}
	n := 1
	for _, s := range shape {
		n *= s
	}
	if t.kind != "F32" || !slices.Equal(t.shape, shape) || len(t.data) != 4*n {
		return nil, fmt.Errorf("is %s %v in %d bytes, not F32 %v", t.kind, t.shape, len(t.data), shape)
	}
	numbers := make([]float32, n)
	for i := range numbers {
		numbers[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.data[4*i:]))
	}
	return numbers, nil
}
