// Command gen writes docs/interpreter.md: go generate in package check runs it.
package main

import (
	"fmt"
	"os"

	"github.com/concurrent-modular-agent/coma/internal/check"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "gen: want the name of the page to write")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(check.Page()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen: write page:", err)
		os.Exit(1)
	}
}
