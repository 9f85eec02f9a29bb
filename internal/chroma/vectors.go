package chroma

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
)

// embeddings reads what writing operations are given: a list of arrays of numbers, or a list of strings that hold
// little-endian float32s in base64, but never both. With nulls (in updates) a vector can be missing.
func (r *reader) embeddings(nulls bool) ([][]float32, error) {
	start := r.at
	mixed := &typeError{"data did not match any variant of untagged enum EmbeddingsPayload"}
	var vectors [][]float32
	var kind byte
	err := r.array("an array of vectors", func() error {
		c, err := r.peek()
		if err != nil {
			return err
		}
		if c == 'n' && nulls {
			vectors = append(vectors, nil)
			return r.literal("null")
		}
		if kind != 0 && c != kind {
			return mixed
		}
		kind = c
		vector, err := r.vector()
		vectors = append(vectors, vector)
		return err
	})
	if _, ok := err.(*typeError); ok {
		return nil, &typeError{fmt.Sprintf("%s at byte %d", mixed.text, start)}
	}
	return vectors, err
}

// vector reads one vector of either form.
func (r *reader) vector() ([]float32, error) {
	c, err := r.peek()
	if err != nil {
		return nil, err
	}
	if c == '"' {
		raw, _, err := r.raw("")
		if err != nil {
			return nil, err
		}
		return decodeVector(raw)
	}
	return r.floats()
}

// floats reads an array of numbers. As in the real Chroma, each is read as a float64 and cut to a float32.
func (r *reader) floats() ([]float32, error) {
	vector := make([]float32, 0, 384)
	err := r.array("an array of numbers", func() error {
		f, err := r.float("a number")
		vector = append(vector, float32(f))
		return err
	})
	return vector, err
}

// decodeVector reads little-endian float32s in base64.
func decodeVector(text []byte) ([]float32, error) {
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		return nil, invalid("Invalid base64 string: %v", err)
	}
	if n%4 != 0 {
		return nil, invalid("Invalid byte length: %d bytes cannot be converted to f32 values (must be divisible by 4)", n)
	}
	vector := make([]float32, n/4)
	for i := range vector {
		vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return vector, nil
}
