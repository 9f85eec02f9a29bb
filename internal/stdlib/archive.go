package stdlib

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
)

//go:embed embed/common.zip
var common string

// archive indexes the embedded archives: export/<import path>, source/<import path>, generic/<import path>/<name>.
// Entries are unpacked when they are read.
var archive = sync.OnceValue(func() map[string]*zip.File {
	entries := map[string]*zip.File{}
	for _, data := range []string{common, platform} {
		if data == "" {
			continue // a platform that gen does not know
		}
		r, err := zip.NewReader(strings.NewReader(data), int64(len(data)))
		if err != nil {
			panic("stdlib: embedded archive is damaged: " + err.Error()) // the build made it so; no caller can help
		}
		for _, file := range r.File {
			entries[file.Name] = file
		}
	}
	return entries
})

// entry unpacks an entry of the archive.
func entry(name string) ([]byte, error) {
	file := archive()[name]
	if file == nil {
		return nil, fmt.Errorf("%s is not in the embedded archive", name)
	}
	r, err := file.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer r.Close()
	data := bytes.NewBuffer(make([]byte, 0, file.UncompressedSize64+bytes.MinRead))
	if _, err := io.Copy(data, r); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return data.Bytes(), nil
}
