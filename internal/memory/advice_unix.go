//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package memory

import (
	"fmt"
	"unsafe"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// willRead tells the system that all of the mapped file is about to be read from its beginning to its end: bbolt has said
// that it will be read here and there, and so the system would fetch page by page.
func willRead(tx *bbolt.Tx) error {
	return advise(tx, unix.MADV_SEQUENTIAL, unix.MADV_WILLNEED)
}

// forget gives the mapped file back to the system after all of it was read: the records are in memory now, and the file
// would count a second time. Pages come back by themselves when they are used.
func forget(tx *bbolt.Tx) error {
	return advise(tx, unix.MADV_DONTNEED, unix.MADV_RANDOM)
}

func advise(tx *bbolt.Tx, advice ...int) error {
	_, value := tx.Bucket(bucketMemory).Cursor().First()
	if len(value) == 0 {
		return nil
	}
	// From a pointer into the mapping to its beginning.
	at := unsafe.Pointer(&value[0])
	start := unsafe.Add(at, -int(uintptr(at)-tx.DB().Info().Data))
	mapped := unsafe.Slice((*byte)(start), tx.Size())
	for _, a := range advice {
		if err := unix.Madvise(mapped, a); err != nil {
			return fmt.Errorf("advise on the mapped file: %w", err)
		}
	}
	return nil
}
