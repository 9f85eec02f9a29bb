package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress shows how far something is: on a terminal a bar that is drawn again and again, elsewhere a line every few
// seconds. What was drawn is gone when it has ended.
type progress struct {
	out      io.Writer // nil: nothing is shown
	terminal bool
	what     string
	things   string // what is counted
	began    time.Time
	shown    time.Time
}

// How often progress is shown.
const (
	onTerminal = 100 * time.Millisecond
	elsewhere  = 5 * time.Second
)

// showProgress shows the progress of something on standard error; with quiet, nothing is shown.
func showProgress(what, things string, quiet bool) *progress {
	p := &progress{what: what, things: things, began: time.Now(), shown: time.Now()}
	if !quiet {
		p.out, p.terminal = os.Stderr, term.IsTerminal(int(os.Stderr.Fd()))
	}
	return p
}

// at shows that done things are done, part of the whole (0 to 1; less than 0: not known).
func (p *progress) at(done int, part float64) {
	now := time.Now()
	pause := elsewhere
	if p.terminal {
		pause = onTerminal
	}
	if p.out == nil || now.Sub(p.shown) < pause {
		return
	}
	p.shown = now
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K"+p.line(done, part, now.Sub(p.began)))
	} else {
		fmt.Fprintln(p.out, p.line(done, part, now.Sub(p.began)))
	}
}

// barWidth is in characters.
const barWidth = 24

func (p *progress) line(done int, part float64, took time.Duration) string {
	line := p.what + "  "
	if part >= 0 {
		if p.terminal {
			full := int(part * barWidth)
			line += strings.Repeat("█", full) + strings.Repeat("░", barWidth-full) + "  "
		}
		line += fmt.Sprintf("%.0f%%  ", 100*part)
	}
	line += plural(done, p.things)
	if part > 0.01 && part < 1 {
		line += ", " + rough(time.Duration(float64(took)*(1-part)/part)) + " left"
	}
	return line
}

// end takes away what was drawn.
func (p *progress) end() {
	if p.out != nil && p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
