package api

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"sync/atomic"
)

// ids are a random name of this process and a count: unique without a look at the clock or the random source per ID.
var (
	idPrefix = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding).EncodeToString(randomBytes(8)) + "-"
	idCount  atomic.Uint64
)

// NewID returns a new ID for a message or a record, unique among all hosts and modules.
func NewID() string {
	var buf [32]byte
	return string(strconv.AppendUint(append(buf[:0], idPrefix...), idCount.Add(1), 36))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}
