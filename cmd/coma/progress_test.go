package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, what: "import garden", things: "record", began: time.Now().Add(-time.Minute)}
	p.at(1200, 0.25)
	p.at(1300, 0.26) // too soon
	p.end()
	if got, want := out.String(), "import garden  25%  1200 records, 3m"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\r\x1b█") {
		t.Errorf("%q, want %q", got, want)
	}

	out.Reset()
	p = &progress{out: &out, terminal: true, what: "import garden", things: "record", began: time.Now()}
	p.at(5, 0.5)
	p.end()
	if got := out.String(); !strings.HasPrefix(got, "\r\x1b[Kimport garden  ████████████░░░░░░░░░░░░  50%  5 records") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}

	for part, want := range map[float64]string{-1: "x  1 record", 1: "x  100%  1 record"} {
		if got := (&progress{what: "x", things: "record"}).line(1, part, time.Second); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	(&progress{}).at(1, 1) // with --json nothing is shown
}
