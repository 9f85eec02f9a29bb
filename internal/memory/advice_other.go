//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package memory

import "go.etcd.io/bbolt"

// Here the system decides alone what it keeps of a mapped file.

func willRead(*bbolt.Tx) error { return nil }
func forget(*bbolt.Tx) error   { return nil }
