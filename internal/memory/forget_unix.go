//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package memory

import (
	"fmt"
	"unsafe"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// forget gives the mapped file back to the system after all of it was read: the records are in memory now, and the file
// would count a second time. Pages come back by themselves when they are used.
func forget(tx *bbolt.Tx) error {
	_, value := tx.Bucket(bucketMemory).Cursor().First()
	if len(value) == 0 {
		return nil
	}
	// From a pointer into the mapping to its beginning.
	at := unsafe.Pointer(&value[0])
	start := unsafe.Add(at, -int(uintptr(at)-tx.DB().Info().Data))
	if err := unix.Madvise(unsafe.Slice((*byte)(start), tx.Size()), unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("give back the mapped file: %w", err)
	}
	return nil
}
