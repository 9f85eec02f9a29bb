// Command embed makes vectors for the Python programs beside it. It reads requests from standard input, one JSON list
// of texts a line, and answers each with one line: {"seconds": how long it took, "vectors": a list a text}. GOMAXPROCS
// says how many cores it uses.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/minilm"
)

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	model := minilm.New()
	requests, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var texts []string
		if err := requests.Decode(&texts); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		start := time.Now()
		vectors, err := model.Embed(context.Background(), texts)
		if err != nil {
			return err
		}
		answer := struct {
			Seconds float64     `json:"seconds"`
			Vectors [][]float32 `json:"vectors"`
		}{time.Since(start).Seconds(), vectors}
		if err := answers.Encode(answer); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
}
