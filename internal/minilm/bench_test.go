package minilm

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// sentence has 12 words, and 14 tokens with its marks.
const sentence = "the plant on the left needs more water than it had today"

func embed(b *testing.B, m *Model, texts ...string) {
	b.Helper()
	if _, err := m.Embed(context.Background(), texts); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSentence is what a query costs, on one core.
func BenchmarkSentence(b *testing.B) {
	for _, k := range []kernels{kernelsHere(), portable()} {
		b.Run(k.name, func(b *testing.B) {
			m := newModel(k, 1)
			embed(b, m, sentence)
			b.ReportAllocs()
			for b.Loop() {
				embed(b, m, sentence)
			}
		})
	}
}

// BenchmarkThousand is an import of 1,000 short records, on all cores.
func BenchmarkThousand(b *testing.B) {
	m := New()
	texts := make([]string, 1000)
	for i := range texts {
		texts[i] = fmt.Sprintf("%s, record %d", sentence, i)
	}
	embed(b, m, sentence)
	for b.Loop() {
		embed(b, m, texts...)
	}
}

// BenchmarkLong is a text of 256 tokens, on one core.
func BenchmarkLong(b *testing.B) {
	m := newModel(kernelsHere(), 1)
	long := strings.Repeat(sentence+" ", 30)
	embed(b, m, long)
	for b.Loop() {
		embed(b, m, long)
	}
}

// BenchmarkTokenizer reads the first 256 tokens of 10 KB of text, and 16 MiB of the worst.
func BenchmarkTokenizer(b *testing.B) {
	_, t, err := New().load()
	if err != nil {
		b.Fatal(err)
	}
	long := strings.Repeat(sentence+" ", 200)
	b.Run("words", func(b *testing.B) {
		for b.Loop() {
			t.encode(long, maxTokens)
		}
	})
	// The slowest that a text can be: one word that never ends, of letters that must be decomposed.
	b.Run("worst", func(b *testing.B) {
		worst := strings.Repeat("é", 8<<20)
		b.SetBytes(int64(len(worst)))
		for b.Loop() {
			t.encode(worst, maxTokens)
		}
	})
}

// BenchmarkStart is the first sentence of a process: vocabulary and norms are decoded, weights are mapped already.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		embed(b, New(), sentence)
	}
}
