package interp

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

// printing is a program that prints what does not depend on addresses.
const printing = `package main

import "math"

type named float32

var zero float64

func main() {
	println(1.5, 8.0, float32(0.1), 0.1, named(2.5), -zero, 1/math.Inf(-1), 1e21, 1e20, 5e-324, math.MaxFloat64, math.Pi)
	println(math.Inf(1), math.Inf(-1), math.NaN(), math.Float32frombits(1))
	println(complex(9, 10), complex64(complex(0.1, -0.1)), complex(math.Inf(1), math.NaN()), -complex(zero, zero))
	println(true, int8(-8), uint64(1)<<63, 'a', uintptr(7), "text", nil == any(nil))
	print(1.0, 2, "x", "y", 3.5, "\n")
	println()
	var none any
	var slice []int
	var pointer *int
	println(none, slice, pointer)
}
`

func TestPrintIsTheCompilers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(printing), 0o600); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	compiled := exec.Command("go", "run", file)
	compiled.Stderr = &want
	if err := compiled.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &want)
	}
	var got bytes.Buffer
	archive := &txtar.Archive{Files: []txtar.File{{Name: "main.go", Data: []byte(printing)}}}
	p, errs, err := loadWith(t, archive, "case", Options{Stderr: &got})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	p.Init()
	p.Lookup("case", "main").Call(nil)
	if got.String() != want.String() {
		t.Errorf("printed\n%sinstead of\n%s", &got, &want)
	}
}
