// Package pbkdf2 has what the interpreter runs in place of generics of the standard library whose own source reaches into
// the runtime. The generator of package stdlib embeds its text.
package pbkdf2

import (
	"hash"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/native"
)

// Key is pbkdf2.Key.
func Key[Hash hash.Hash](h func() Hash, password string, salt []byte, iter, keyLength int) ([]byte, error) {
	return native.PBKDF2Key(func() hash.Hash { return h() }, password, salt, iter, keyLength)
}
