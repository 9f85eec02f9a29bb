package backend

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBodiesComeInTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var deadlines []time.Duration
		body := &arriving{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", 3*bodyRate))), since: start,
			deadline: func(at time.Time) error {
				if at.IsZero() {
					deadlines = append(deadlines, 0)
				} else {
					deadlines = append(deadlines, at.Sub(start))
				}
				return nil
			}}
		for {
			if _, err := body.Read(make([]byte, 2*bodyRate)); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // what has been waited for does not move the deadline, what has come does
		}
		want := []time.Duration{bodyTime, bodyTime + 2*time.Second, bodyTime + 3*time.Second, 0}
		if len(deadlines) != len(want) {
			t.Fatalf("deadlines: %v", deadlines)
		}
		for i := range want {
			if deadlines[i] != want[i] {
				t.Errorf("deadlines: %v, want %v", deadlines, want)
			}
		}
	})
}
