package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// nobody is the hash that the password of an unknown user is compared with, so that one takes as long as a known one. It
// is of random bytes that nobody has kept.
const nobody = "$2a$10$D9CSBBnZR8ynzsG9yvFkKu0aofuqRVNwIFe/04cQxilRMGNhcS24G"

// login is what Users need to check passwords. bcrypt takes some 60 ms of a processor: a password that was right is known
// again by a keyed hash, which is kept nowhere but here.
type login struct {
	throttle *Throttle
	key      [32]byte
	slots    chan struct{} // passwords that are being compared

	mu    sync.Mutex
	right map[[32]byte]string // the keyed hash of a name and a password that were right, and the hash in the file then
}

// Bounds of what strangers can make the backend do and keep.
const (
	maxRight     = 4096 // logins known again
	maxComparing = 2    // passwords compared at a time; the others wait
)

func (l *login) open() {
	l.throttle = NewThrottle(time.Now)
	rand.Read(l.key[:]) // never fails
	l.slots = make(chan struct{}, maxComparing)
	l.right = map[[32]byte]string{}
}

// Throttle is the one that slows down failed logins; tokens that are guessed are to count with it.
func (u *Users) Throttle() *Throttle { return u.login.throttle }

// ErrThrottled is the answer to those who have given too many wrong passwords: they may try again later.
var ErrThrottled = fmt.Errorf("%w: too many failed logins: try again in a while", api.ErrUnauthorized)

var errCredentials = fmt.Errorf("%w: the user or the password is wrong", api.ErrUnauthorized)

// Login returns the identity of a user who gives a password. address is where it comes from, without a port. The error is
// ErrThrottled, or another api.ErrUnauthorized, which does not tell whether there is such a user; or that of ctx.
func (u *Users) Login(ctx context.Context, address, name, password string) (Identity, error) {
	l := &u.login
	if l.throttle.Refused(address) > 0 {
		return Identity{}, ErrThrottled
	}
	if name == "" || password == "" { // nobody's, which is no secret
		l.throttle.Failed(address, "")
		return Identity{}, errCredentials
	}
	user, known := u.lookup(name)
	mark := l.mark(name, password)
	if known && l.known(mark, user.Hash) {
		return Identity{users: u, name: name, hash: user.Hash}, nil
	}
	if err := l.throttle.Wait(ctx, name); err != nil {
		return Identity{}, err
	}
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
	hash := nobody
	if known {
		hash = user.Hash
	}
	err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
	switch {
	case err == nil && known:
		l.remember(mark, user.Hash)
		l.throttle.Forget(address, name)
		return Identity{users: u, name: name, hash: user.Hash}, nil
	case err != nil && known && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) && !errors.Is(err, bcrypt.ErrPasswordTooLong):
		return Identity{}, fmt.Errorf("check password: %w", err)
	}
	l.throttle.Failed(address, name)
	return Identity{}, errCredentials
}

// mark is what is kept of a name and a password that were right.
func (l *login) mark(name, password string) (mark [32]byte) {
	h := hmac.New(sha256.New, l.key[:])
	fmt.Fprintf(h, "%d:%s", len(name), name) // where the one ends and the other begins
	h.Write([]byte(password))
	h.Sum(mark[:0])
	return mark
}

func (l *login) known(mark [32]byte, hash string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.right[mark] == hash
}

func (l *login) remember(mark [32]byte, hash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for old := range l.right {
		if len(l.right) < maxRight {
			break
		}
		delete(l.right, old) // any: whoever it is has to wait 60 ms the next time
	}
	l.right[mark] = hash
}

// Equal compares two secrets in a time that tells nothing but their lengths; an empty secret equals nothing.
func Equal(given, secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}
