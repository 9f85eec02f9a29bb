package check

import (
	"go/token"
	"strings"
	"testing"
)

// TestTooLargeStruct is of a struct that the compiler does not survive.
func TestTooLargeStruct(t *testing.T) {
	fset := token.NewFileSet()
	_, wrong := Check(fset, []Package{source(t, fset, "p", "package p\n\ntype S struct{ a, b [1 << 49]byte }\n")})
	if len(wrong) != 1 || !strings.HasSuffix(wrong[0].Message, " too large") || fset.Position(wrong[0].Pos).Column != 6 {
		t.Errorf("got %s", say(fset, wrong))
	}
}
