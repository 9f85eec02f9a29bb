package generate

import (
	"go/format"
	"os"
	"strconv"
	"testing"
)

func TestSameSeedSameProgram(t *testing.T) {
	for seed := range uint64(20) {
		if Program(seed) != Program(seed) {
			t.Errorf("seed %d makes two programs", seed)
		}
	}
	if Program(1) == Program(2) {
		t.Error("seeds 1 and 2 make the same program")
	}
}

func TestParses(t *testing.T) {
	for seed := range uint64(300) {
		if _, err := format.Source([]byte(Program(seed))); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestShow prints the program of COMA_SEED, for a look at it.
func TestShow(t *testing.T) {
	text, ok := os.LookupEnv("COMA_SEED")
	if !ok {
		t.Skip("COMA_SEED names no seed")
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString(Program(seed))
}
