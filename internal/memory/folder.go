package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const (
	suffix           = ".db"
	maxFileNameBytes = 255 // of the common file systems
)

// Path returns the file of agent name's memory in folder dir. All but letters, digits and a few signs is escaped as in
// a URL's path, so that no name leads out of dir.
func Path(dir, name string) (string, error) {
	file := url.PathEscape(name) + suffix
	if name == "" || len(file) > maxFileNameBytes {
		return "", fmt.Errorf("memory of agent %q: the name is empty or too long for a file: %w", name, api.ErrInvalid)
	}
	return filepath.Join(dir, file), nil
}

// nameOf returns the agent's name of a memory's path.
func nameOf(path string) string {
	file := strings.TrimSuffix(filepath.Base(path), suffix)
	if name, err := url.PathUnescape(file); err == nil {
		return name
	}
	return file
}

// List describes the memories in folder dir, by file name. It changes nothing. One that another process has open is
// described as InUse, one that cannot be read has a Problem. A folder that is not there has none.
func List(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list memories: %w", err)
	}
	var infos []Info
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), suffix) || !entry.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		stat, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		info := Info{Name: nameOf(path), Path: path}
		if err == nil {
			info.Bytes = stat.Size()
			err = describe(&info)
		}
		if errors.Is(err, api.ErrInUse) {
			info.InUse = true
		} else if err != nil {
			info.Problem = err.Error()
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// atOnce is the shortest time to wait for a lock: one try.
const atOnce = time.Millisecond

// describe fills in what only the file itself says.
func describe(info *Info) (err error) {
	if info.Bytes == 0 {
		return nil // created, never written to
	}
	d, err := openDisk(info.Path, diskOptions{readOnly: true, timeout: atOnce})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return d.view(func(header diskHeader, tx *bbolt.Tx) error {
		info.Embedder, info.Dimension, info.Settings = header.Embedder, header.Dimension, header.Settings
		if err := willRead(tx); err != nil {
			return err
		}
		return tx.Bucket(bucketRecords).ForEach(func(k, v []byte) error {
			t, err := recordTime(v)
			if err != nil {
				return fmt.Errorf("record %d: %w", binary.BigEndian.Uint64(k), err)
			}
			info.Records++
			if info.Oldest.IsZero() || t.Before(info.Oldest) {
				info.Oldest = t
			}
			if t.After(info.Newest) {
				info.Newest = t
			}
			return nil
		})
	})
}

// Head is what a memory keeps beside its records.
type Head struct {
	Embedder   string // "" where nothing was ever written; an empty memory may take another
	Empty      bool
	Dimension  int
	Declared   string // see Store.Declare
	Settings   Settings
	Attributes map[string][]byte
}

// Peek reads what the memory at path keeps beside its records, without loading those. It wraps api.ErrInUse where a
// process has the memory open, and fs.ErrNotExist where there is none.
func Peek(path string) (head Head, err error) {
	stat, err := os.Stat(path)
	if err != nil {
		return Head{}, fmt.Errorf("peek into memory: %w", err)
	}
	if stat.Size() == 0 {
		return Head{Empty: true}, nil // created, never written to
	}
	head.Empty = true
	d, err := openDisk(path, diskOptions{readOnly: true, timeout: atOnce})
	if err != nil {
		return Head{}, fmt.Errorf("peek into memory: %w", err)
	}
	err = d.view(func(h diskHeader, tx *bbolt.Tx) error {
		first, _ := tx.Bucket(bucketRecords).Cursor().First()
		head = Head{Empty: first == nil, Embedder: h.Embedder, Dimension: h.Dimension, Declared: h.Declared, Settings: h.Settings, Attributes: h.Attributes}
		return nil
	})
	if err := errors.Join(err, d.close()); err != nil {
		return Head{}, fmt.Errorf("peek into memory: %w", err)
	}
	return head, nil
}

// Remove removes agent name's memory in folder dir for good, damaged or not. It wraps api.ErrNotFound where there is
// none, and api.ErrInUse where a process has it open.
func Remove(dir, name string) error {
	path, err := Path(dir, name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove memory %q in %s: %w", name, dir, api.ErrNotFound)
	}
	// With the lock held until the file is gone, nobody writes to it meanwhile. What cannot be opened is removed as it is.
	d, err := openDisk(path, diskOptions{timeout: atOnce})
	if errors.Is(err, api.ErrInUse) {
		return fmt.Errorf("remove memory %q: %w", name, err)
	}
	err = os.Remove(path)
	if d != nil {
		err = errors.Join(err, d.close())
	}
	if err != nil {
		return fmt.Errorf("remove memory %q: %w", name, err)
	}
	if err := syncFolder(dir); err != nil {
		return fmt.Errorf("remove memory %q: %w", name, err)
	}
	return nil
}
