// Command gen writes what the doc comments of the API's types say to the file that package describe takes its descriptions
// from: "go generate" in that package runs it. source.go reads the comments.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"github.com/concurrent-modular-agent/coma/internal/describe"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/rest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "gen: want the name of the file to write")
		os.Exit(2)
	}
	text, err := comments("../..")
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen: write comments:", err)
		os.Exit(1)
	}
}

// comments returns the file's content; root is the folder of the repository.
func comments(root string) ([]byte, error) {
	all := map[string]describe.Comment{}
	read := newSource(root)
	for _, t := range described() {
		comment, err := read.comment(t)
		if err != nil {
			return nil, err
		}
		all[t.String()] = comment
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	err := encoder.Encode(all)
	return text.Bytes(), err
}

// described are the types of all that the API takes and gives.
func described() []reflect.Type {
	roots := []reflect.Type{reflect.TypeFor[rest.Problem]()}
	for _, m := range link.Methods() {
		roots = append(roots, m.Params, m.Result)
	}
	for _, o := range rest.Operations() {
		roots = append(roots, o.Names, o.Query, o.Body, o.Result)
	}
	return describe.Types(roots)
}
