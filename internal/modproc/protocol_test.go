package modproc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadLine(t *testing.T) {
	anyError := errors.New("any")
	tests := []struct {
		name, in string
		want     error // nil: a report; anyError: any but the end
	}{
		{"report", `{"failure":{"cause":"x"}}` + "\n", nil},
		{"end", "", io.EOF},
		{"end within a line", `{"failure`, io.ErrUnexpectedEOF},
		{"not JSON", "hello\n", anyError},
		{"as long as allowed", `{"failure":{"cause":"` + strings.Repeat("x", MaxReport-30) + "\"}}\n", nil},
		{"too long", `{"failure":{"cause":"` + strings.Repeat("x", MaxReport) + "\"}}\n", anyError},
		{"too long without end", strings.Repeat("x", MaxReport*3), anyError},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got Report
			err := ReadLine(bufio.NewReader(strings.NewReader(test.in)), MaxReport, &got)
			switch {
			case test.want == nil:
				if err != nil || got.Failure == nil {
					t.Errorf("%+v, %v", got, err)
				}
			case test.want == anyError:
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("error %v", err)
				}
			case !errors.Is(err, test.want):
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func TestLineWriterRefusesLongLines(t *testing.T) {
	var out bytes.Buffer
	w := NewLineWriter(&out, 40)
	if err := w.Write(Report{Failure: &Failure{Cause: strings.Repeat("x", 40)}}); err == nil || out.Len() > 0 {
		t.Errorf("a long line: %v, and %q was written", err, &out)
	}
	if err := w.Write(Report{Failure: &Failure{Cause: "<x>"}}); err != nil || out.String() != `{"failure":{"cause":"<x>"}}`+"\n" {
		t.Errorf("a short line: %v, %q", err, &out)
	}
}

func TestBounded(t *testing.T) {
	for _, test := range []struct{ n, want int }{{0, 0}, {50, 50}, {51, 51}, {1000, 51}} {
		got := bounded(make([]Problem, test.n))
		if len(got) != test.want {
			t.Errorf("of %d problems %d are told, want %d", test.n, len(got), test.want)
		}
		if test.n > 50 && !strings.HasPrefix(got[50].Message, "and ") {
			t.Errorf("the last of %d problems is %q", test.n, got[50].Message)
		}
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
		for {
			var line Report
			err := ReadLine(r, 1<<10, &line)
			if err != nil {
				return
			}
			var out bytes.Buffer
			if err := NewLineWriter(&out, MaxReport).Write(line); err != nil {
				t.Fatalf("write what was read: %v", err)
			}
			var again Report
			if err := ReadLine(bufio.NewReader(&out), MaxReport, &again); err != nil {
				t.Fatalf("read what was written: %v", err)
			}
			a, errA := json.Marshal(line)
			b, errB := json.Marshal(again)
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Fatalf("%s became %s (%v, %v)", a, b, errA, errB)
			}
		}
	})
}
