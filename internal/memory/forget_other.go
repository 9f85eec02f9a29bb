//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package memory

import "go.etcd.io/bbolt"

// forget does nothing: here the system decides alone what it keeps of a mapped file.
func forget(*bbolt.Tx) error { return nil }
