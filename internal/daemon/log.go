package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// maxLog is how large a log file becomes, in bytes, before a new one is begun. One old file is kept.
const maxLog = 10 << 20

// Log is the daemon's log file. It is safe for concurrent use. A crash of the process is written to it too.
type Log struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenLog opens the log file at path for appending.
func OpenLog(path string) (*Log, error) {
	l := &Log{path: path, limit: maxLog}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

// open is called with mu held, or before anybody else knows l.
func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open backend's log: %w", err)
	}
	info, err := file.Stat()
	if err == nil {
		err = debug.SetCrashOutput(file, debug.CrashOptions{})
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open backend's log: %w", err), file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write implements io.Writer. A line is not cut by a new file's beginning.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(line)) > l.limit {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

func (l *Log) rotate() error {
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return fmt.Errorf("put the full log aside: %w", err)
	}
	full := l.file
	if err := l.open(); err != nil {
		return err // what follows goes to the file that was put aside
	}
	return full.Close()
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// Tail writes the last lines of a log file (all, if lines is negative) and, with follow, what is added to it from then on
// until ctx ends.
func Tail(ctx context.Context, out io.Writer, path string, lines int, follow bool) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read backend's log: there is none: no backend has been started in the background (%s)", path)
	}
	if err != nil {
		return fmt.Errorf("read backend's log: %w", err)
	}
	defer func() { file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxLog+1<<20))
	if err != nil {
		return fmt.Errorf("read backend's log: %w", err)
	}
	if _, err := out.Write(lastLines(data, lines)); err != nil || !follow {
		return err
	}
	// Looking five times a second needs no watcher and works on every file system.
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if _, err := io.Copy(out, file); err != nil {
			return fmt.Errorf("read backend's log: %w", err)
		}
		if next := successor(file, path); next != nil {
			_, err := io.Copy(out, file) // what was added until it was put aside
			file.Close()
			file = next
			if err != nil {
				return fmt.Errorf("read backend's log: %w", err)
			}
		}
	}
}

// successor opens the file that has taken the place of file, or returns nil where none has.
func successor(file *os.File, path string) *os.File {
	was, err := file.Stat()
	if err != nil {
		return nil
	}
	is, err := os.Stat(path)
	if err != nil || os.SameFile(was, is) {
		return nil
	}
	next, err := os.Open(path)
	if err != nil {
		return nil // the next look tries again
	}
	return next
}

// lastLines returns the last n lines of data; all of it for a negative n.
func lastLines(data []byte, n int) []byte {
	if n < 0 {
		return data
	}
	end := len(data)
	if end > 0 && data[end-1] == '\n' {
		end--
	}
	for ; n > 0; n-- {
		end = bytes.LastIndexByte(data[:max(end, 0)], '\n')
		if end < 0 {
			return data
		}
	}
	return data[min(end+1, len(data)):]
}
