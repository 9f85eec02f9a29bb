package memory

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// The file is a bbolt database with up to three buckets:
//
//	memory      "header" → diskHeader as JSON
//	records     seq (8 bytes, big endian) → one record (record.go)
//	references  seq (likewise) → how often the record was counted (uvarint); format 2
//
// Records are keyed by when they were added, so that adding writes at the end of the tree. A file of format 1 becomes one
// of format 2 with the first write: its records stay as they are.
var (
	bucketMemory     = []byte("memory")
	bucketRecords    = []byte("records")
	bucketReferences = []byte("references")
	keyHeader        = []byte("header")
)

const diskVersion = 2

type diskHeader struct {
	Version    int               `json:"version"`
	Embedder   string            `json:"embedder"`
	Dimension  int               `json:"dimension"`
	Declared   string            `json:"declared,omitempty"`
	Settings   Settings          `json:"settings,omitzero"`
	Attributes map[string][]byte `json:"attributes,omitempty"`
}

func (h diskHeader) header() header {
	return header{space: space{Embedder: h.Embedder, Dimension: h.Dimension},
		declared: h.Declared, settings: h.Settings, attributes: h.Attributes}
}

// disk is the file of a memory, open and locked.
type disk struct {
	path    string
	db      *bbolt.DB
	current bool // its header says diskVersion
}

type diskOptions struct {
	readOnly bool
	aside    bool          // a successor: whole or not does not matter yet
	timeout  time.Duration // for the lock; more than 0
}

// openDisk opens and locks the file; it makes one unless readOnly.
func openDisk(path string, opt diskOptions) (d *disk, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !opt.readOnly && !opt.aside {
		if err := createDisk(path, opt); err != nil {
			return nil, err
		}
	}
	for {
		var file *os.File
		db, err := openBolt(path, opt, &file)
		if err != nil {
			if file != nil { // bbolt has closed it already, and both of these fail, unless it panicked
				_, _ = unlock(file), file.Close()
			}
			if errors.Is(err, bolterrors.ErrTimeout) {
				return nil, fmt.Errorf("memory %s is in use by another process: %w", path, api.ErrInUse)
			}
			if errors.As(err, new(*os.PathError)) {
				return nil, err
			}
			return nil, damaged(path, err)
		}
		d := &disk{path: path, db: db}
		// While this waited for the lock, Remove may have removed the file: then what is open here is not at path.
		there, err := sameFile(path, file)
		if err == nil && there {
			return d, nil
		}
		if err := errors.Join(err, d.close()); err != nil {
			return nil, err
		}
	}
}

func openBolt(path string, opt diskOptions, file **os.File) (db *bbolt.DB, err error) {
	defer guard(&err)()
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:      opt.timeout,
		ReadOnly:     opt.readOnly,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			created := false
			if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
				created = !opt.readOnly
			}
			f, err := os.OpenFile(name, flag, mode)
			if err == nil && created {
				err = syncFolder(filepath.Dir(name))
			}
			*file = f
			return f, err
		},
	})
}

// createDisk makes an empty database, whole before it has its name: a power cut must not leave half of one, which could
// not be opened. Another process may be first.
func createDisk(path string, opt diskOptions) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	if err := file.Close(); err != nil {
		return err
	}
	db, err := openBolt(file.Name(), opt, new(*os.File))
	if err != nil {
		return fmt.Errorf("create memory %s: %w", path, err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("create memory %s: %w", path, err)
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil // a file system without links: bbolt makes it where it will be
	}
	return syncFolder(filepath.Dir(path))
}

func sameFile(path string, file *os.File) (bool, error) {
	open, err := file.Stat()
	if err != nil {
		return false, fmt.Errorf("open memory: %w", err)
	}
	named, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open memory: %w", err)
	}
	return os.SameFile(open, named), nil
}

func (d *disk) close() error {
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("close memory %s: %w", d.path, err)
	}
	return nil
}

// errVersion tells a file that is not damaged, only newer.
var errVersion = errors.New("written by a newer version of coma: use that, or a backup made by it")

// view calls read with what the file holds; a file without buckets is a memory that was never written to.
func (d *disk) view(read func(diskHeader, *bbolt.Tx) error) (err error) {
	defer func() {
		if err != nil && !errors.Is(err, errVersion) {
			err = damaged(d.path, err)
		}
	}()
	defer guard(&err)()
	return d.db.View(func(tx *bbolt.Tx) error {
		head, records := tx.Bucket(bucketMemory), tx.Bucket(bucketRecords)
		if head == nil && records == nil {
			if k, _ := tx.Cursor().First(); k != nil {
				return fmt.Errorf("is no memory: it holds %q", k)
			}
			return nil
		}
		if head == nil || records == nil {
			return errors.New("a part is missing")
		}
		var header diskHeader
		if err := json.Unmarshal(head.Get(keyHeader), &header); err != nil {
			return fmt.Errorf("read header: %w", err)
		}
		if header.Version > diskVersion {
			return fmt.Errorf("memory %s has format %d, this coma knows up to %d: %w", d.path, header.Version, diskVersion, errVersion)
		}
		if header.Version < 1 || header.Dimension < 0 || header.Dimension > maxDimension {
			return fmt.Errorf("header has version %d and dimension %d", header.Version, header.Dimension)
		}
		d.current = header.Version == diskVersion
		return read(header, tx)
	})
}

// save writes a batch in one transaction: all of it, or nothing.
func (d *disk) save(b *batch) error {
	err := d.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketRecords, bucketReferences} {
			if b.cleared && tx.Bucket(name) != nil {
				if err := tx.DeleteBucket(name); err != nil {
					return err
				}
			}
		}
		if b.newHead || !d.current {
			if err := saveHeader(tx, b.head); err != nil {
				return err
			}
		}
		records, err := recordBucket(tx)
		if err != nil {
			return err
		}
		for _, id := range b.order {
			r, stored := b.changed[id], b.stored(id)
			if stored != nil && (r == nil || r.Seq != stored.Seq) {
				if err := deleteRecord(tx, records, stored.Seq); err != nil {
					return err
				}
			}
			if r != nil {
				if err := records.Put(seqKey(r.Seq), encodeRecord(r)); err != nil {
					return err
				}
			}
		}
		return saveReferences(tx, b.refs)
	})
	if err != nil {
		return fmt.Errorf("save memory %s: %w", d.path, err)
	}
	d.current = true
	return nil
}

// update runs one transaction.
func (d *disk) update(do func(*bbolt.Tx) error) (err error) {
	defer guard(&err)()
	return d.db.Update(do)
}

func recordBucket(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	records, err := tx.CreateBucketIfNotExists(bucketRecords)
	if err == nil {
		records.FillPercent = 0.9 // keys grow: pages are filled once and then left alone
	}
	return records, err
}

func deleteRecord(tx *bbolt.Tx, records *bbolt.Bucket, seq uint64) error {
	if err := records.Delete(seqKey(seq)); err != nil {
		return err
	}
	if refs := tx.Bucket(bucketReferences); refs != nil {
		return refs.Delete(seqKey(seq))
	}
	return nil
}

func saveReferences(tx *bbolt.Tx, refs map[uint64]uint64) error {
	if len(refs) == 0 {
		return nil
	}
	bucket, err := tx.CreateBucketIfNotExists(bucketReferences)
	if err != nil {
		return err
	}
	for _, seq := range slices.Sorted(maps.Keys(refs)) {
		if err := bucket.Put(seqKey(seq), binary.AppendUvarint(nil, refs[seq])); err != nil {
			return err
		}
	}
	return nil
}

func saveHeader(tx *bbolt.Tx, h header) error {
	value, err := json.Marshal(diskHeader{Version: diskVersion, Embedder: h.Embedder, Dimension: h.Dimension,
		Declared: h.declared, Settings: h.settings, Attributes: h.attributes})
	if err != nil {
		return err
	}
	head, err := tx.CreateBucketIfNotExists(bucketMemory)
	if err != nil {
		return err
	}
	return head.Put(keyHeader, value)
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// guard makes an error of what bbolt does on a damaged file: it panics, or reads past the end of a file that is too
// short. Use: defer guard(&err)().
func guard(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = fmt.Errorf("database does not hold together: %v", p)
		}
	}
}

func damaged(path string, err error) error {
	return fmt.Errorf("memory %s is damaged (restore a backup under another name, or remove it): %w", path, err)
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
