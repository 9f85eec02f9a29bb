package console

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// SGR codes (ECMA-48, section 8.3.117).
const (
	dim    = "2"
	red    = "31"
	yellow = "33"
	plain  = ""
)

// palette are colours that are readable on dark and on light grounds, without red and yellow, which mean something.
var palette = []string{"36", "35", "32", "34", "96", "95", "92", "94"}

// text shows an event as one line, or a failure as a block of lines. It is called with mu held.
func (c *Console) text(e supervisor.Event) {
	name := c.name(e)
	line := func(style, format string, args ...any) {
		c.line(e.Time, name, style, fmt.Sprintf(format, args...))
	}
	switch e.Kind {
	case supervisor.Logged:
		style := plain
		text := e.Log.String()
		switch e.Log.Level {
		case "DEBUG":
			style = dim
		case "WARN":
			style, text = yellow, "warning: "+text
		case "ERROR":
			style, text = red, "error: "+text
		}
		for part := range strings.SplitSeq(text, "\n") {
			line(style, "%s", part)
		}
	case supervisor.Started:
		line(dim, "started%s (%s)", pid(e), milliseconds(e.Took))
	case supervisor.Reloaded:
		line(dim, "reloaded: generation %d%s (%s)", e.Generation, pid(e), milliseconds(e.Took))
	case supervisor.Restarted:
		line(dim, "restarted: generation %d%s", e.Generation, pid(e))
	case supervisor.LoadFailed:
		c.loadError(e, line)
	case supervisor.Failed:
		c.failure("failed", red, e.Err, line)
		if e.Delay > 0 {
			line(dim, "starts again in %s", e.Delay.Round(100*time.Millisecond))
		}
	case supervisor.Compiling:
		line(dim, "compiling, since %s", e.Err)
	case supervisor.Ended:
		if e.Delay > 0 {
			line(dim, "done; starts again in %s", e.Delay.Round(100*time.Millisecond))
		} else {
			line(dim, "done")
		}
	case supervisor.Stopped:
		if e.Err != nil {
			c.failure("stopped", yellow, e.Err, line)
		} else {
			line(dim, "stopped")
		}
	case supervisor.Removed:
		line(dim, "removed")
	case supervisor.Problem:
		for part := range strings.SplitSeq(e.Err.Error(), "\n") {
			line(yellow, "%s", part)
		}
	}
}

// loadError shows what is wrong with a module's source, with the lines that it is about.
func (c *Console) loadError(e supervisor.Event, line func(style, format string, args ...any)) {
	after := ""
	if e.Generation > 0 {
		after = fmt.Sprintf("; generation %d goes on", e.Generation)
	}
	var load *module.LoadError
	if !errors.As(e.Err, &load) {
		line(red, "does not load%s: %s", after, e.Err)
		return
	}
	line(red, "does not load%s", after)
	for _, p := range load.Problems {
		line(red, "  %s", p)
		if strings.TrimSpace(p.SourceLine) != "" {
			source := strings.ReplaceAll(p.SourceLine, "\t", " ")
			line(dim, "  %5d | %s", p.Line, source)
			if p.Column > 0 && p.Column <= len(source)+1 {
				line(dim, "        | %s^", strings.Repeat(" ", len([]rune(source[:p.Column-1]))))
			}
		}
	}
}

func cause(err error) string {
	var failure *module.Failure
	if errors.As(err, &failure) {
		return failure.Cause
	}
	if err == nil {
		return "no cause is known"
	}
	return err.Error()
}

// failure shows why a module ended: the cause, whose further lines are indented, and the places.
func (c *Console) failure(what, style string, err error, line func(style, format string, args ...any)) {
	first, more, _ := strings.Cut(strings.TrimRight(cause(err), "\n"), "\n")
	line(style, "%s: %s", what, first)
	if more != "" {
		for part := range strings.SplitSeq(more, "\n") {
			line(style, "  %s", part)
		}
	}
	var failure *module.Failure
	if !errors.As(err, &failure) {
		return
	}
	for i := 0; i < len(failure.Frames); {
		f, times := failure.Frames[i], 0
		for ; i < len(failure.Frames) && failure.Frames[i] == f; i++ { // recursion
			times++
		}
		if times > 1 {
			line(red, "  %s (%d times)", f, times)
		} else {
			line(red, "  %s", f)
		}
	}
	for _, d := range failure.Detail {
		line(red, "  %s", d)
	}
}

func pid(e supervisor.Event) string {
	if e.PID == 0 {
		return ""
	}
	return ", pid " + strconv.Itoa(e.PID)
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10) + " ms"
}

// line writes one line after the name of whose it is. It is called with mu held.
func (c *Console) line(at time.Time, name, style, text string) {
	if c.open != "" {
		c.out.WriteString("\n") // somebody's printed line is cut in two rather than mixed
		c.open = ""
	}
	c.hidePrompt()
	if c.opt.Time {
		c.paint(dim, at.Format("15:04:05.000 "))
	}
	padded := name + strings.Repeat(" ", max(0, c.width-len([]rune(name))))
	c.paint(c.color(name), padded)
	c.paint(dim, " │ ")
	c.paint(style, Printable(text))
	c.out.WriteString("\n")
	c.showPrompt()
}

func (c *Console) paint(style, text string) {
	if !c.opt.Color || style == plain {
		c.out.WriteString(text)
		return
	}
	c.out.WriteString("\x1b[" + style + "m" + text + "\x1b[0m")
}

// color gives each name a colour that is the same in every run, and different ones to the first few.
func (c *Console) color(name string) string {
	if name == "coma" {
		return dim
	}
	n, ok := c.colors[name]
	if !ok {
		h := fnv.New32a()
		h.Write([]byte(name))
		n = int(h.Sum32() % uint32(len(palette)))
		for tries := 0; c.taken(n) && tries < len(palette); tries++ {
			n = (n + 1) % len(palette)
		}
		c.colors[name] = n
	}
	return palette[n]
}

func (c *Console) taken(n int) bool {
	for _, m := range c.colors {
		if m == n {
			return true
		}
	}
	return false
}

// Printable keeps text from steering the terminal: what is neither printable nor a tab, line ends among it, is shown as
// Go writes it. (What a module prints for the person with agent.Print is left as it is.)
func Printable(text string) string {
	odd := func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }
	if utf8.ValidString(text) && !strings.ContainsFunc(text, odd) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case odd(r):
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
		text = text[n:]
	}
	return b.String()
}
