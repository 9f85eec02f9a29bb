package main

import (
	"go/ast"
	"os"
	"strings"
	"testing"
)

// TestCommentsAreThoseOfTheSource: who changes a comment makes the file anew.
func TestCommentsAreThoseOfTheSource(t *testing.T) {
	want, err := comments("../../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../comments.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("internal/describe/comments.json is not what the comments in the source say: go generate ./internal/describe")
	}
}

func TestWords(t *testing.T) {
	names := map[string]string{"Text": "text", "HalfLife": "half_life", "MQTT": "mqtt"}
	for comment, want := range map[string]string{
		"// near to Text, or by HalfLife.":       "near to `text`, or by `half_life`.",
		"// Text is one. Text is another":        "Text is one. Text is another",
		"// an MQTT client":                      "an MQTT client",
		"// two\n// lines":                       "two lines",
		"// one\n//\n// other\n//\n//\tT · Text": "one\n\nother\n\n    T · `text`",
	} {
		group := &ast.CommentGroup{}
		for line := range strings.SplitSeq(comment, "\n") {
			group.List = append(group.List, &ast.Comment{Text: line})
		}
		if got, err := words(names, nil, group); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", comment, got, err, want)
		}
	}
	for _, comment := range []string{"", "// nil: none", "// ErrNotFound where there is none", "// see api.Message"} {
		group := &ast.CommentGroup{List: []*ast.Comment{{Text: comment}}}
		if comment == "" {
			group = nil
		}
		if got, err := words(names, group); err == nil {
			t.Errorf("%q: taken as %q", comment, got)
		}
	}
}
