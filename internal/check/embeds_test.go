package check

import (
	"embed"
	"go/token"
	"slices"
	"testing"
	"testing/fstest"
)

func TestEmbeds(t *testing.T) {
	fset := token.NewFileSet()
	checked, wrong := Check(fset, []Package{source(t, fset, "p", `package p

import "embed"

//go:embed prompt.txt
var prompt string

type raw []byte

var (
	// Comments may stand between.
	//go:embed "prompt.txt"

	bytes raw

	//go:embed prompts
	//go:embed prompt.txt
	files embed.FS

	other int
)

//go:embed missing.txt
var missing string

//go:embed prompts prompt.txt
var many string
`)})
	if len(wrong) > 0 {
		t.Fatal(say(fset, wrong))
	}
	folder := fstest.MapFS{"prompt.txt": {Data: []byte("be kind")}, "prompts/a.txt": {Data: []byte("a")}}
	var names []string
	for _, e := range Embeds(checked[0]) {
		names = append(names, e.Var.Name())
		value, problem := e.Value(folder)
		switch e.Var.Name() {
		case "prompt":
			if value != "be kind" || problem != nil {
				t.Errorf("prompt: %v, %v", value, problem)
			}
		case "bytes":
			if data, ok := value.([]byte); !ok || string(data) != "be kind" || problem != nil {
				t.Errorf("bytes: %v, %v", value, problem)
			}
		case "files":
			data, err := value.(embed.FS).ReadFile("prompts/a.txt")
			if err != nil || string(data) != "a" {
				t.Errorf("files: %q, %v", data, err)
			}
		case "missing":
			if want := "pattern missing.txt: no matching files found"; problem == nil || problem.Message != want || fset.Position(problem.Pos).Line != 23 {
				t.Errorf("missing: %v, want %s", problem, want)
			}
		case "many":
			if want := "invalid go:embed: multiple files for type string"; problem == nil || problem.Message != want {
				t.Errorf("many: %v, %v, want %s", value, problem, want)
			}
		}
	}
	if want := []string{"prompt", "bytes", "files", "missing", "many"}; !slices.Equal(names, want) {
		t.Errorf("variables %v, want %v", names, want)
	}
}
