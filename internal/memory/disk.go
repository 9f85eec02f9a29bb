package memory

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// The file is a bbolt database with two buckets:
//
//	memory    "header" → diskHeader as JSON
//	records   seq (8 bytes, big endian) → one record (record.go)
//
// Records are keyed by when they were added, so that adding writes at the end of the tree.
var (
	bucketMemory  = []byte("memory")
	bucketRecords = []byte("records")
	keyHeader     = []byte("header")
)

const diskVersion = 1

type diskHeader struct {
	Version   int    `json:"version"`
	Embedder  string `json:"embedder"`
	Dimension int    `json:"dimension"`
}

// disk is the file of a memory, open and locked.
type disk struct {
	path string
	db   *bbolt.DB
}

type diskOptions struct {
	readOnly bool
	timeout  time.Duration // for the lock; more than 0
}

// openDisk opens and locks the file; it makes one unless readOnly.
func openDisk(path string, opt diskOptions) (d *disk, err error) {
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

// load reads everything. A new file has no space and no records.
func (d *disk) load() (sp space, records []*record, err error) {
	err = d.view(func(header diskHeader, bucket *bbolt.Bucket) error {
		sp = space{Embedder: header.Embedder, Dimension: header.Dimension}
		return bucket.ForEach(func(k, v []byte) error {
			r, err := decodeRecord(v)
			if err == nil && r.Vector != nil && len(r.Vector) != sp.Dimension {
				err = fmt.Errorf("vector has %d dimensions, not %d", len(r.Vector), sp.Dimension)
			}
			if err == nil && len(k) != 8 {
				err = fmt.Errorf("key has %d bytes, not 8", len(k))
			}
			if err != nil {
				return fmt.Errorf("record with key %x: %w", k, err)
			}
			r.seq = binary.BigEndian.Uint64(k)
			records = append(records, r)
			return nil
		})
	})
	return sp, records, err
}

// errVersion tells a file that is not damaged, only newer.
var errVersion = errors.New("written by a newer version of coma: use that, or a backup made by it")

// view calls read with what the file holds; a file without buckets is a memory that was never written to.
func (d *disk) view(read func(diskHeader, *bbolt.Bucket) error) (err error) {
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
		return read(header, records)
	})
}

// save writes a batch in one transaction: all of it, or nothing.
func (d *disk) save(b *batch) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("save memory %s: %w", d.path, err)
		}
	}()
	defer guard(&err)()
	return d.db.Update(func(tx *bbolt.Tx) error {
		if b.cleared && tx.Bucket(bucketRecords) != nil {
			if err := tx.DeleteBucket(bucketRecords); err != nil {
				return err
			}
		}
		records, err := tx.CreateBucketIfNotExists(bucketRecords)
		if err != nil {
			return err
		}
		records.FillPercent = 0.9 // keys grow: pages are filled once and then left alone
		if err := saveHeader(tx, b.space); err != nil {
			return err
		}
		for _, id := range b.order {
			r, stored := b.changed[id], b.stored(id)
			if stored != nil && (r == nil || r.seq != stored.seq) {
				if err := records.Delete(seqKey(stored.seq)); err != nil {
					return err
				}
			}
			if r != nil {
				if err := records.Put(seqKey(r.seq), encodeRecord(r)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func saveHeader(tx *bbolt.Tx, sp space) error {
	value, err := json.Marshal(diskHeader{Version: diskVersion, Embedder: sp.Embedder, Dimension: sp.Dimension})
	if err != nil {
		return err
	}
	head, err := tx.CreateBucketIfNotExists(bucketMemory)
	if err != nil || string(head.Get(keyHeader)) == string(value) {
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
