package check

import (
	"bytes"
	"fmt"
	"go/build"
	"io"
	"path/filepath"
	"strings"
)

// Included tells whether go build would compile a file of that name (its base name counts) and content into a package, on
// this machine and for the newest Go version known: neither tests nor files named _x.go, .x.go or x_windows.go, and what
// the //go:build line says. Files that import "C" are included, so that Check can say what is wrong with them. The error
// is that of a //go:build line or a file head that cannot be read.
func Included(name string, data []byte) (bool, error) {
	base := filepath.Base(name)
	if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
		return false, nil
	}
	machine := build.Default
	machine.CgoEnabled = true
	machine.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	included, err := machine.MatchFile(filepath.Dir(name), base)
	if err != nil {
		return false, fmt.Errorf("read the head of %s: %w", base, err)
	}
	return included, nil
}
