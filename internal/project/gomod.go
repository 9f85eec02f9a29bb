package project

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSettingsBytes bounds coma.yaml and go.mod: nobody writes more by hand.
const maxSettingsBytes = 1 << 20

// readSettings reads a settings file of the project; a missing one is nil.
func readSettings(root, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{File: name, Msg: fmt.Sprintf("read: %v", err), Err: err}
	}
	defer f.Close() // only read from
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, &Error{File: name, Msg: "is not a file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSettingsBytes+1))
	if err != nil {
		return nil, &Error{File: name, Msg: fmt.Sprintf("read: %v", err), Err: err}
	}
	if len(data) > maxSettingsBytes {
		return nil, &Error{File: name, Msg: "is larger than 1 MiB"}
	}
	return data, nil
}

// loadModulePath returns the path that go.mod's module line gives, or the folder's name where there is no go.mod.
func loadModulePath(root string) (string, error) {
	data, err := readSettings(root, "go.mod")
	if err != nil {
		return "", err
	}
	if data == nil {
		return filepath.Base(root), nil
	}
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		text, _, _ = strings.Cut(text, "//")
		fields := strings.Fields(text)
		if len(fields) == 0 || fields[0] != "module" {
			continue
		}
		if len(fields) == 2 {
			path := fields[1]
			if quoted, err := strconv.Unquote(path); err == nil {
				path = quoted
			}
			if path != "" && path != "(" && !strings.ContainsAny(path, "\"`") {
				return path, nil
			}
		}
		return "", &Error{File: "go.mod", Line: line, Msg: "want one path after module, as in: module example.com/garden"}
	}
	return "", &Error{File: "go.mod", Line: 1, Msg: "has no module line, as in: module example.com/garden"}
}
