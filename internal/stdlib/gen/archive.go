package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/gcexportdata"
)

// writeArchives writes common.zip with what is the same on all platforms, and a zip for each platform with the rest.
// Entries are export/<import path>, source/<import path> and generic/<import path>/<declaration>.
func writeArchives(folder string, worlds []*world) error {
	common := map[string][]byte{}
	rest := make([]map[string][]byte, len(worlds))
	for i, w := range worlds {
		rest[i] = map[string][]byte{}
		for _, path := range w.offered {
			exported := w.packages[path].types
			if slices.Contains(typed, path) {
				var err error
				if exported, err = withoutGenerics(w, path); err != nil {
					return err
				}
			}
			var data bytes.Buffer
			// Without a file set no positions are written.
			if err := gcexportdata.Write(&data, nil, exported); err != nil {
				return fmt.Errorf("export %s: %w", path, err)
			}
			rest[i]["export/"+path] = data.Bytes()
		}
	}
	for name, data := range rest[0] {
		if !slices.ContainsFunc(rest, func(r map[string][]byte) bool { return !bytes.Equal(r[name], data) }) {
			common[name] = data
		}
	}
	for i, w := range worlds {
		for name := range common {
			delete(rest[i], name)
		}
		if err := writeArchive(filepath.Join(folder, w.platform.String()+".zip"), rest[i]); err != nil {
			return err
		}
	}
	sources, err := sources(worlds[0])
	if err != nil {
		return err
	}
	maps.Copy(common, sources)
	return writeArchive(filepath.Join(folder, "common.zip"), common)
}

func writeArchive(name string, entries map[string][]byte) error {
	var data bytes.Buffer
	archive := zip.NewWriter(&data)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		w, err := archive.Create(name)
		if err != nil {
			return err
		}
		if _, err := w.Write(entries[name]); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, data.Bytes(), 0o644)
}
