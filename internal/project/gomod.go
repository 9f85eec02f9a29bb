package project

import (
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"os"
	"path"
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

// loadModulePath returns the import path of the project's folder: as in Go, that of the nearest go.mod at or above it and
// the way down from there, or the folder's name where there is no go.mod at all.
//
// version is the language version that go.mod asks for, as "go1.21"; "" where it does not say.
func loadModulePath(root string) (importPath, version string, err error) {
	for dir := root; ; dir = filepath.Dir(dir) {
		data, err := readSettings(dir, "go.mod")
		if err != nil {
			return "", "", err
		}
		if data != nil {
			base, err := modulePath(data)
			if err != nil {
				return "", "", err
			}
			below, err := filepath.Rel(dir, root)
			if err != nil {
				return "", "", err
			}
			return path.Join(base, filepath.ToSlash(below)), languageVersion(data), nil
		}
		if dir == filepath.Dir(dir) {
			return filepath.Base(root), "", nil
		}
	}
}

// modulePath reads the module line of a go.mod.
func modulePath(data []byte) (string, error) {
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		text, _, _ = strings.Cut(text, "//")
		fields := strings.Fields(text)
		if len(fields) == 0 || fields[0] != "module" {
			continue
		}
		if len(fields) == 2 {
			name := fields[1]
			if quoted, err := strconv.Unquote(name); err == nil {
				name = quoted
			}
			if name != "" && name != "(" && !strings.ContainsAny(name, "\"`") {
				return name, nil
			}
		}
		return "", &Error{File: "go.mod", Line: line, Msg: "want one path after module, as in: module example.com/garden"}
	}
	return "", &Error{File: "go.mod", Line: 1, Msg: "has no module line, as in: module example.com/garden"}
}

// languageVersion reads the go line of a go.mod: "go 1.21.3" asks for the language of "go1.21".
func languageVersion(data []byte) string {
	for text := range strings.Lines(string(data)) {
		text, _, _ = strings.Cut(text, "//")
		if fields := strings.Fields(text); len(fields) == 2 && fields[0] == "go" {
			return version.Lang("go" + fields[1])
		}
	}
	return ""
}
