package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// contents are all that a file holds.
type contents struct {
	head header
	rows []*table.Row // in the order of adding
	refs map[uint64]uint64
}

// chunk is some records as they are in the file, and what they say.
type chunk struct {
	keys, values [][]byte
	rows         []*table.Row
	err          error
}

const chunkRecords = 256

// load reads everything. A new file has no space and no records. One goroutine walks the file, all cores decode.
func (d *disk) load() (contents, error) {
	c := contents{refs: make(map[uint64]uint64)}
	err := d.view(func(h diskHeader, tx *bbolt.Tx) (err error) {
		c.head = h.header()
		if err := willRead(tx); err != nil {
			return err
		}
		c.rows, err = loadRows(tx.Bucket(bucketRecords), h.Dimension)
		if err != nil {
			return err
		}
		if bucket := tx.Bucket(bucketReferences); bucket != nil {
			err = loadReferences(bucket, c.refs)
		}
		return errors.Join(err, forget(tx))
	})
	return c, err
}

func loadRows(bucket *bbolt.Bucket, dimension int) ([]*table.Row, error) {
	chunks := decodeAll(bucket, dimension)
	rows := make([]*table.Row, 0, len(chunks)*chunkRecords)
	for _, c := range chunks {
		if c.err != nil {
			return nil, c.err
		}
		rows = append(rows, c.rows...)
	}
	return rows, nil
}

// decodeAll walks the records and has them decoded meanwhile.
func decodeAll(bucket *bbolt.Bucket, dimension int) (chunks []*chunk) {
	work := make(chan *chunk, 2*runtime.GOMAXPROCS(0))
	var decoders sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() {
			for c := range work {
				c.decode(dimension)
			}
		})
	}
	defer decoders.Wait() // also where the walk panics on a damaged file (see guard)
	defer close(work)

	next := &chunk{}
	hand := func() {
		chunks = append(chunks, next)
		work <- next
		next = &chunk{}
	}
	cursor := bucket.Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		next.keys, next.values = append(next.keys, k), append(next.values, v)
		if len(next.keys) == chunkRecords {
			hand()
		}
	}
	hand()
	return chunks
}

func (c *chunk) decode(dimension int) {
	defer guard(&c.err)()
	c.rows = make([]*table.Row, len(c.keys))
	for i, k := range c.keys {
		r, err := decodeRecord(c.values[i])
		switch {
		case err != nil:
		case r.Vector != nil && len(r.Vector) != dimension:
			err = fmt.Errorf("vector has %d dimensions, not %d", len(r.Vector), dimension)
		case len(k) != 8:
			err = fmt.Errorf("key has %d bytes, not 8", len(k))
		}
		if err != nil {
			c.err = fmt.Errorf("record with key %x: %w", k, err)
			return
		}
		r.Seq = binary.BigEndian.Uint64(k)
		c.rows[i] = r
	}
	c.keys, c.values = nil, nil
}

func loadReferences(bucket *bbolt.Bucket, refs map[uint64]uint64) error {
	return bucket.ForEach(func(k, v []byte) error {
		n, size := binary.Uvarint(v)
		if len(k) != 8 || size != len(v) || size == 0 {
			return fmt.Errorf("references with key %x are %x", k, v)
		}
		refs[binary.BigEndian.Uint64(k)] = n
		return nil
	})
}
