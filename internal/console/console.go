// Package console is the terminal of a run: it shows what happens to modules, one line an event or log line, and lets
// one module at a time ask the person there.
//
// Console is made by New; text.go forms lines for people, json.go lines for programs, input.go asks.
package console

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// Options say how a console looks.
type Options struct {
	Out   io.Writer // nil: standard output
	In    io.Reader // nil: standard input
	JSON  bool      // a JSON object a line, for programs
	Quiet bool      // only what modules print, prompts, and what goes wrong
	Time  bool      // with the time of day
	Color bool      // see ColorWanted
	Names []string  // the modules' names as they will be shown, for a column of even width
	Wide  bool      // show agent/module rather than module: several agents share the console
}

// Console shows events. It is safe for concurrent use.
type Console struct {
	opt      Options
	out      *bufio.Writer
	width    int
	terminal bool // out is one: a prompt can be taken back

	mu     sync.Mutex
	colors map[string]int
	open   string // who has printed a line that has not ended; "" for nobody
	prompt string // of who asks; "" if nobody does
	shown  bool   // the prompt is what stands in the last line

	asking chan struct{} // a token: one prompt at a time
	lines  chan string   // what the person types
	eof    chan struct{} // closed when the person has gone
	read   sync.Once     // starts reading
}

// New returns a console.
func New(opt Options) *Console {
	if opt.Out == nil {
		opt.Out = os.Stdout
	}
	if opt.In == nil {
		opt.In = os.Stdin
	}
	c := &Console{
		opt: opt, out: bufio.NewWriterSize(opt.Out, 32<<10), colors: map[string]int{},
		asking: make(chan struct{}, 1), lines: make(chan string), eof: make(chan struct{}),
	}
	if file, ok := opt.Out.(*os.File); ok {
		c.terminal = term.IsTerminal(int(file.Fd()))
	}
	for _, name := range opt.Names {
		c.width = max(c.width, min(len([]rune(name)), 24))
	}
	return c
}

// ColorWanted reports whether out is a terminal that wants colours: see https://no-color.org.
func ColorWanted(out *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(out.Fd()))
}

// Event shows an event.
func (c *Console) Event(e supervisor.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.opt.JSON:
		c.json(e)
	case e.Kind == supervisor.Printed:
		c.print(e)
	case !c.opt.Quiet || loud(e):
		c.text(e)
	}
	c.out.Flush() // a standard output that is gone has nobody to tell it to
}

// loud reports whether an event is shown even to those who want quiet.
func loud(e supervisor.Event) bool {
	switch e.Kind {
	case supervisor.LoadFailed, supervisor.Failed, supervisor.Problem:
		return true
	case supervisor.Logged:
		return e.Log.Level == "ERROR" || e.Log.Level == "WARN"
	}
	return e.Err != nil
}

// Say shows a line of the command's own.
func (c *Console) Say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opt.Quiet || c.opt.JSON {
		return
	}
	c.line(time.Now(), "coma", dim, fmt.Sprintf(format, args...))
	c.out.Flush()
}

// print writes what a module prints for the person, as it comes. It is called with mu held.
func (c *Console) print(e supervisor.Event) {
	who := c.name(e)
	if c.open != "" && c.open != who {
		c.out.WriteString("\n")
		c.open = ""
	}
	c.hidePrompt()
	c.out.WriteString(e.Text)
	if strings.HasSuffix(e.Text, "\n") {
		c.open = ""
	} else if e.Text != "" {
		c.open = who
	}
	c.showPrompt()
}

// name is how a module is shown.
func (c *Console) name(e supervisor.Event) string {
	switch {
	case e.Module == "":
		return e.Agent
	case c.opt.Wide:
		return e.Agent + "/" + e.Module
	}
	return e.Module
}

// hidePrompt makes room for a line, and showPrompt asks again after it. They are called with mu held.
func (c *Console) hidePrompt() {
	if !c.shown {
		return
	}
	c.shown = false
	if c.terminal {
		c.out.WriteString("\r\x1b[K") // back to the line's beginning, erase to its end
	} else {
		c.out.WriteString("\n")
	}
}

func (c *Console) showPrompt() {
	if c.prompt != "" && c.open == "" {
		c.out.WriteString(c.prompt)
		c.shown = true
	}
}
