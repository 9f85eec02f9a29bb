//go:build unix

package module

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestReadLine(t *testing.T) {
	tests := []struct {
		name, in string
		want     error // nil: a report; io.EOF; any other: any error
	}{
		{"report", `{"failure":{"cause":"x"}}` + "\n", nil},
		{"end", "", io.EOF},
		{"end within a line", `{"failure`, io.ErrUnexpectedEOF},
		{"not JSON", "hello\n", errors.New("any")},
		{"as long as allowed", `{"failure":{"cause":"` + strings.Repeat("x", maxReport-30) + "\"}}\n", nil},
		{"too long", `{"failure":{"cause":"` + strings.Repeat("x", maxReport) + "\"}}\n", errors.New("any")},
		{"too long without end", strings.Repeat("x", maxReport*3), errors.New("any")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got report
			err := readLine(bufio.NewReader(strings.NewReader(test.in)), maxReport, &got)
			switch {
			case test.want == nil:
				if err != nil || got.Failure == nil {
					t.Errorf("%+v, %v", got, err)
				}
			case test.want.Error() == "any":
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("error %v", err)
				}
			case err != test.want:
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func FuzzReadLine(f *testing.F) {
	for _, seed := range []string{
		`{"loaded":{"spawns":true}}`, `{"refused":[{"file":"a.go","line":3,"message":"x"}]}`,
		`{"trace":{"goroutine":3,"first":true,"frame":{"file":"a.go"}}}`, `{"failure":{"cause":"panic: x","frames":[{"file":"a"}]}}`,
		`{"module":{"source":{"name":"chat"}}}`, `{"start":true}`, "{}\n{}\n", "\n\n", "\x00",
	} {
		f.Add([]byte(seed + "\n"))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), 16)
		said := story{traces: map[int64][]Frame{}}
		for {
			var line report
			err := readLine(r, 1<<10, &line)
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				return
			}
			if line.Trace != nil {
				said.trace(line.Trace)
			}
			var out bytes.Buffer
			if err := (&lineWriter{w: &out, limit: maxReport}).write(line); err != nil {
				t.Fatalf("write what was read: %v", err)
			}
			var again report
			if err := readLine(bufio.NewReader(&out), maxReport, &again); err != nil {
				t.Fatalf("read what was written: %v", err)
			}
			a, _ := json.Marshal(line)
			b, _ := json.Marshal(again)
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("%s became %s", a, b)
			}
		}
		if len(said.traces) > maxTraced {
			t.Fatalf("%d traces are kept", len(said.traces))
		}
	})
}

func TestReadCrash(t *testing.T) {
	tests := []struct {
		text string
		want crash
	}{
		{"panic: boom [recovered, repanicked]\n\ngoroutine 34 [running]:\nx()\n", crash{cause: "panic: boom", goroutine: 34}},
		{"panic: boom\n\tpanic: again\n\ngoroutine 1 [running]:\n", crash{cause: "panic: boom", goroutine: 1}},
		{"panic: two\n\tlines\n\ngoroutine 7 [running]:\n", crash{cause: "panic: two\nlines", goroutine: 7}},
		{"panic: runtime error: invalid memory address or nil pointer dereference [recovered, repanicked]\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 9 [running]:\n",
			crash{cause: "panic: runtime error: invalid memory address or nil pointer dereference", goroutine: 9}},
		{"panic: <*errors.errorString Value> [recovered, repanicked]\n\ngoroutine 5 [running]:\n", crash{cause: "panic: a value of type *errors.errorString", goroutine: 5}},
		{"runtime: goroutine stack exceeds 134217728-byte limit\nfatal error: stack overflow\n\ngoroutine 18 [running]:\n", crash{cause: "stack overflow", goroutine: 18}},
		{"fatal error: concurrent map writes\n\ngoroutine 5 [running]:\n", crash{cause: "fatal error: concurrent map writes", goroutine: 5}},
		{"runtime: out of memory: cannot allocate 8589934592-byte block\nfatal error: out of memory\n\ngoroutine 1 [running]:\n", crash{cause: "out of memory", memory: true, goroutine: 1}},
		{"something else\n", crash{}},
		{"", crash{}},
	}
	for _, test := range tests {
		if got := readCrash([]byte(test.text)); got != test.want {
			t.Errorf("%q: %+v, want %+v", test.text, got, test.want)
		}
	}
}

func FuzzReadCrash(f *testing.F) {
	f.Add([]byte("panic: boom [recovered]\n\ngoroutine 3 [running]:\n"))
	f.Add([]byte("fatal error: stack overflow\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c := readCrash(text); len(c.cause) > maxCause+100 {
			t.Errorf("a cause of %d bytes", len(c.cause))
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\nc"), 2)
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		out := newCapture()
		l := &lines{stream: "s", out: out}
		for part := text; len(part) > 0; {
			n := min(max(step%7, 1), len(part))
			if _, err := l.Write(part[:n]); err != nil {
				t.Fatal(err)
			}
			part = part[n:]
		}
		l.end()
		want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(text) == 0 {
			want = nil
		}
		if len(out.lines) != len(want) {
			t.Fatalf("%q: %d lines, want %d", text, len(out.lines), len(want))
		}
		for i := range want {
			if out.lines[i] != "s: "+strings.TrimSuffix(want[i], "\r") {
				t.Fatalf("line %q, want %q", out.lines[i], want[i])
			}
		}
	})
}
