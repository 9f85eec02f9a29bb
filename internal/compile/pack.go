package compile

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/project"
)

// maxPacked bounds the files of one agent, in bytes: all of them are in each of its processes' address space.
const maxPacked = 1 << 30

// standIn takes the place of a module's source, so that package project finds the module where it was.
const standIn = `package module

import (
	"context"

	"` + comaPath + `"
)

func Run(context.Context, *coma.Agent) error { return nil }
`

// pack puts a project's files into a zip archive: all that "coma run" looks at, but for Go source. The same files make
// the same archive.
func pack(p *project.Project, output string) ([]byte, error) {
	var archive bytes.Buffer
	z := &packer{zip: zip.NewWriter(&archive)}
	z.zip.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, name := range slices.Concat(moduleNames(p), p.Disabled) {
		place := name + ".go"
		if info, err := os.Stat(filepath.Join(p.Dir, name)); err == nil && info.IsDir() {
			place = name + "/module.go"
		}
		if err := z.add(place, 0o644, []byte(standIn)); err != nil {
			return nil, err
		}
	}
	// No go.mod that lies above the place of unpacking is to count.
	if err := z.add(goModName, 0o644, []byte("module agent\n")); err != nil {
		return nil, err
	}
	err := p.Walk(p.Dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed since
		}
		name := entryName(p, path)
		if err != nil || entry.IsDir() || filepath.Ext(path) == ".go" || name == goModName || name == "go.sum" || path == output {
			return err
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if z.total += info.Size(); z.total > maxPacked {
			return fmt.Errorf("the project holds more than %d MiB of files: name those that its modules do not need in coma.yaml (watch: {ignore: […]})", maxPacked>>20)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return z.add(name, info.Mode().Perm(), data)
	})
	if err := errors.Join(err, z.zip.Close()); err != nil {
		return nil, fmt.Errorf("pack the project's files: %w", err)
	}
	return archive.Bytes(), nil
}

func moduleNames(p *project.Project) []string {
	names := make([]string, len(p.Modules))
	for i, m := range p.Modules {
		names[i] = m.Name
	}
	return names
}

// entryName is a file's name in the archive.
func entryName(p *project.Project, path string) string {
	rel, err := filepath.Rel(p.Dir, path)
	if err != nil {
		return filepath.Base(path) // a walk from p.Dir visits nothing else
	}
	return filepath.ToSlash(rel)
}

type packer struct {
	zip   *zip.Writer
	total int64
}

func (z *packer) add(name string, mode fs.FileMode, data []byte) error {
	header := &zip.FileHeader{Name: name, Method: zip.Deflate}
	header.SetMode(mode)
	w, err := z.zip.CreateHeader(header)
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	return nil
}
