package syntax

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutations = flag.Int("mutations", 150, "how many broken programs to compare with the compiler")

// whole has all that Go's grammar has, for tests to break.
const whole = `package p

import (
	"fmt"
	. "strings"
)

import str "strings"

const (
	a, b = iota, 1 << iota
	c, d
	e int = 'x' + '\n' + '\x41'
)

type (
	point struct {
		x, y int ` + "`json:\"x\"`" + `
		*sized
		str.Builder
		pair[int, string]
		deep [3][]map[string]*point
	}
	other interface {
		fmt.Stringer
		move(by int, more ...float64) (point, error)
		~int | ~[]byte | pair[int, int]
	}
	pair[K comparable, V any] struct {
		key K
		val V
	}
	alias = func(<-chan int, chan<- *point) chan (<-chan int)
	sized [1 << 4]byte
)

var one, two = 1, 2.5e3 // two of them

var three, /* in
between */ four = 3, /* four */ 4 /* over
the end */

func (p *point) move(by int, more ...float64) (q point, err error) {
	defer func() { _ = recover() }()
	go p.move(0x1F, more...)
	if v, ok := any(p).(fmt.Stringer); ok && v != nil {
		return point{x: 1, y: 2}, nil
	} else if by > 0 {
		by--
	} else {
		by += 2
	}
	return *p, nil
}

func each[T any, L ~[]T](list L, f func(int, T) bool) {
outer:
	for i := 0; i < len(list); i++ {
		for range 3 {
			continue outer
		}
		for _, v := range list[i:len(list):cap(list)] {
			if !f(i, v) {
				break outer
			}
		}
	}
	for {
		goto done
	}
done:
	switch x := any(list).(type) {
	case nil, []T:
		_ = x
	default:
	}
	switch y := 3; {
	case y > 1:
		fallthrough
	default:
	}
	ch := make(chan int, 1)
	select {
	case v, ok := <-ch:
		fmt.Println(v, ok)
	case ch <- 1:
	default:
		var local = [...]int{0: 1, 2, 3}
		fmt.Println(local[:2], ToUpper("a\tb"), []point{{1, 2}, {x: 3}}, pair[int, string]{1, "x"})
	}
}
`

func TestWholeIsRight(t *testing.T) {
	if wrong := Errors([]byte(whole)); len(wrong) > 0 {
		t.Errorf("%+v", wrong)
	}
}

// pieces are put into programs to break them.
var pieces = []string{
	"(", ")", "[", "]", "{", "}", ",", ";", "\n", ".", ":", ":=", "=", "==", "+", "*", "&", "<-", "...", "++", "+=", "!", "~", "|",
	"x", "1", "2.5", "'c'", `"s"`, "if", "else", "for", "range", "func", "type", "var", "const", "case", "default", "return", "go", "defer",
	"switch", "select", "struct{}", "interface", "chan", "map", "import", "package", "goto", "break", "fallthrough",
	"?", "#", "“", "é", "'", `"`, "`", "''", "'ab'", `"\q"`, `'\400'`, `"\xg"`, "/*", "//", "0x", "08", "1e", "\x00", " \xff ", " \uFEFF ",
}

// broken is the program with a lexeme or two left out, doubled, put elsewhere or put in.
func broken(random *rand.Rand) string {
	text := whole
	for range 1 + random.IntN(2) {
		lexemes, _ := scan([]byte(text))
		one := lexemes[random.IntN(len(lexemes)-1)]
		switch random.IntN(5) {
		case 0:
			text = text[:one.at] + text[one.end:]
		case 1:
			text = text[:one.at] + pieces[random.IntN(len(pieces))] + text[one.end:]
		case 2:
			text = text[:one.at] + pieces[random.IntN(len(pieces))] + " " + text[one.at:]
		case 3:
			other := lexemes[random.IntN(len(lexemes)-1)]
			text = text[:one.at] + text[other.at:other.end] + " " + text[one.at:]
		case 4:
			text = text[:one.at]
		}
	}
	return text
}

// TestCompilerSaysSo breaks a program in many ways, and compares every word and place with what the compiler says.
func TestCompilerSaysSo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	compared := 0
	for range *mutations {
		text := broken(random)
		wrong := Errors([]byte(text))
		if len(wrong) == 0 {
			if want := compiled(t, text); strings.Contains(want, syntaxError) {
				t.Errorf("got nothing, the compiler says\n%s\nabout\n%s", want, text)
			}
			continue
		}
		compared++
		got := told(text, wrong)
		want := compiled(t, text)
		if strings.Contains(want, "could not import fmt") { // wrong characters and literals do not keep it from types
			got, want = missing(got, want), ""
		}
		if got != want {
			t.Errorf("got\n%s\nthe compiler says\n%s\nabout\n%s", got, want, text)
		}
	}
	if compared < *mutations/2 {
		t.Errorf("only %d of %d programs were broken", compared, *mutations)
	}
}

// missing are the lines that are not among others.
func missing(lines, others string) string {
	var out strings.Builder
	for line := range strings.Lines(lines) {
		if !strings.Contains(others, line) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// told writes errors as the compiler does.
func told(text string, wrong []Error) string {
	var out strings.Builder
	for _, e := range wrong {
		line := 1 + strings.Count(text[:e.Offset], "\n")
		column := e.Offset - strings.LastIndexByte(text[:e.Offset], '\n')
		fmt.Fprintf(&out, "a.go:%d:%d: %s\n", line, column, e.Message)
	}
	return out.String()
}

// compiled is what the compiler says, without what it says of jumps, which it checks as it reads.
func compiled(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "tool", "compile", "-e", "-p", "p", "-o", "a.o", "a.go")
	command.Dir = dir
	out, err := command.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no Go toolchain to compare with")
	}
	var kept strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, ": label ") && !strings.Contains(line, " is not in a loop") && !strings.Contains(line, "label not defined") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// FuzzErrors looks for text that the parser does not come to the end of.
func FuzzErrors(f *testing.F) {
	f.Add([]byte(whole))
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add([]byte(broken(random)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, e := range Errors(text) {
			if e.Offset < 0 || e.Offset > len(text) || e.Message == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}
