package llm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// events reads the data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) from a
// stream: the lines "data:" of one event joined by line ends. Comments, which servers send to keep a connection alive,
// and other fields are passed over. Lines end with LF or CRLF; the lone CR that the specification also allows is not
// used by any server of this kind.
type events struct {
	lines *bufio.Scanner
	bytes int64 // of data so far
	limit int64 // of data in all
}

// maxLine bounds one line of a stream: a chunk holds a few words, or one call's arguments from servers that do not cut them.
const maxLine = 1 << 20

var errTooLong = errors.New("answer is too long")

func newEvents(r io.Reader, limit int64) *events {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	return &events{lines: lines, limit: limit}
}

// next returns the data of the next event that has some. At the stream's end it returns io.EOF; an event that the end
// cuts off before its empty line still counts, since some servers leave out the last one.
func (e *events) next() ([]byte, error) {
	var data []byte
	found := false
	for e.lines.Scan() {
		line := e.lines.Bytes()
		if len(line) == 0 {
			if found {
				return data, nil
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "data" {
			continue
		}
		if e.bytes += int64(len(line)); e.bytes > e.limit {
			return nil, fmt.Errorf("%w: over %d bytes", errTooLong, e.limit)
		}
		if found {
			data = append(data, '\n')
		}
		data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		found = true
	}
	err := e.lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%w: a line of over %d bytes", errTooLong, maxLine)
	case err != nil:
		return nil, err
	case found:
		return data, nil
	}
	return nil, io.EOF
}
