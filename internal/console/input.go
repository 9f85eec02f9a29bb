package console

import (
	"bufio"
	"context"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Input asks the person and returns the line that is typed. Of several that ask, the others wait.
func (c *Console) Input(ctx context.Context, _, _, prompt string) (string, error) {
	c.read.Do(func() { go c.readLines() })
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	c.mu.Lock()
	if c.open != "" {
		c.out.WriteString("\n")
		c.open = ""
	}
	if !c.opt.JSON {
		c.prompt = prompt
		c.showPrompt()
		c.out.Flush()
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.prompt = ""
		c.hidePrompt() // nothing to hide if it was answered
		c.out.Flush()
		c.mu.Unlock()
	}()
	select { // a line that is there counts, even if ctx has ended too
	case line := <-c.lines:
		return c.answered(line), nil
	default:
	}
	select {
	case line := <-c.lines:
		return c.answered(line), nil
	case <-c.eof:
		return "", api.ErrNoInput
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// answered shows a line that no terminal has echoed, so that what is printed reads as a conversation all the same.
func (c *Console) answered(line string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prompt, c.shown = "", false
	if file, ok := c.opt.In.(*os.File); !c.opt.JSON && !(ok && term.IsTerminal(int(file.Fd()))) {
		c.out.WriteString(Printable(line) + "\n")
		c.out.Flush()
	}
	return line
}

// maxLine bounds a typed line, in bytes; what is longer is cut there.
const maxLine = 1 << 20

// readLines hands over one line at a time until the input ends. It lives as long as the process: a read from a terminal
// cannot be cancelled.
func (c *Console) readLines() {
	defer close(c.eof)
	reader := bufio.NewReader(c.opt.In)
	for {
		var line []byte
		for {
			part, more, err := reader.ReadLine()
			if err != nil {
				return
			}
			if len(line)+len(part) <= maxLine {
				line = append(line, part...)
			}
			if !more {
				break
			}
		}
		c.lines <- strings.TrimSuffix(string(line), "\r")
	}
}
