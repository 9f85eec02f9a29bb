package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// User is one entry of the users' file.
type User struct {
	Hash string `json:"hash"` // bcrypt, of the password
	Permissions
}

// OwnerName is the name that the owner gives where a name is asked for, with the token or COMA_PASSWORD as password. No
// user can have it.
const OwnerName = "coma"

// A user's name has this form, and so many characters at most. (Counted by the pattern, they would cost each start of coma
// 3 ms: it would hold 64 times the letters of all languages.)
var userName = regexp.MustCompile(`^[\pL\pN][\pL\pN._@-]*$`)

const maxUserName = 64

// CheckUser checks a user's name and permissions before they are written.
func CheckUser(name string, p Permissions) error {
	if utf8.RuneCountInString(name) > maxUserName || !userName.MatchString(name) {
		return fmt.Errorf("user %q: %w: a name is up to %d letters, digits and . _ @ -, and begins with a letter or digit", name, api.ErrInvalid, maxUserName)
	}
	if name == OwnerName {
		return fmt.Errorf("user %q: %w: that is the owner's own, whose password is COMA_PASSWORD or the token: choose another name", name, api.ErrInvalid)
	}
	for _, pattern := range slices.Concat(p.Publish, p.Subscribe) {
		if err := CheckPattern(pattern); err != nil {
			return fmt.Errorf("user %s: %w: %w", name, api.ErrInvalid, err)
		}
	}
	for _, agent := range p.Agents {
		if agent == "" || strings.ContainsAny(agent, "/+#") {
			return fmt.Errorf("user %s: agent %q: %w: want an agent's name, or *", name, agent, api.ErrInvalid)
		}
	}
	return nil
}

// Bounds of passwords, in bytes. bcrypt looks at no more than the maximum.
const (
	minPassword = 8
	maxPassword = 72
)

// HashPassword returns what the users' file keeps of a password.
func HashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", fmt.Errorf("password of %d bytes: %w: want %d to %d", len(password), api.ErrInvalid, minPassword, maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

// Users are the users of a file, as it is now. They are safe for concurrent use.
type Users struct {
	path    string
	current atomic.Pointer[snapshot]
	reading sync.Mutex // held while the file is looked at
	login   login
}

// snapshot is one state of the file. It is not changed.
type snapshot struct {
	stamp stamp
	users map[string]User
}

// stamp tells whether a file has changed.
type stamp struct {
	time time.Time
	size int64
}

// Open reads the users' file; one that is not there is one without users. A file that others than its owner can write, or
// read, is refused.
func Open(path string) (*Users, error) {
	u := &Users{path: path}
	u.login.open()
	if _, err := u.Refresh(); err != nil {
		return nil, err
	}
	return u, nil
}

// Refresh reads the file again if it has changed, and reports whether it had. A file that cannot be read leaves the users
// as they were.
func (u *Users) Refresh() (changed bool, err error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	next := &snapshot{}
	info, err := os.Stat(u.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, fmt.Errorf("read users: %w", err)
	default:
		next.stamp = stamp{info.ModTime(), info.Size()}
	}
	if old := u.current.Load(); old != nil && old.stamp == next.stamp {
		return false, nil
	}
	if info != nil {
		if next.users, err = readUsers(u.path); err != nil {
			return false, err
		}
	}
	u.current.Store(next)
	return true, nil
}

func (u *Users) lookup(name string) (User, bool) {
	found, ok := u.current.Load().users[name]
	return found, ok
}

// Count returns how many users there are.
func (u *Users) Count() int { return len(u.current.Load().users) }

// All returns a copy of all users, by name.
func (u *Users) All() map[string]User {
	all := map[string]User{}
	for name, user := range u.current.Load().users {
		all[name] = user
	}
	return all
}

// Set adds a user or replaces the one of that name, in the file.
func (u *Users) Set(name string, user User) error {
	if err := CheckUser(name, user.Permissions); err != nil {
		return err
	}
	return u.change(func(all map[string]User) { all[name] = user })
}

// Remove removes a user from the file; api.ErrNotFound where there is none.
func (u *Users) Remove(name string) error {
	if _, err := u.Refresh(); err != nil {
		return err
	}
	if _, ok := u.lookup(name); !ok {
		return fmt.Errorf("user %q: %w", name, api.ErrNotFound)
	}
	return u.change(func(all map[string]User) { delete(all, name) })
}

// change writes the file anew. Two processes that do so at the same time are two people at it, of whom the later wins.
func (u *Users) change(edit func(map[string]User)) error {
	if _, err := u.Refresh(); err != nil {
		return err
	}
	all := u.All()
	edit(all)
	data, err := json.MarshalIndent(file{all}, "", "\t")
	if err == nil {
		err = folders.WriteFile(u.path, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write users: %w", err)
	}
	_, err = u.Refresh()
	return err
}

type file struct {
	Users map[string]User `json:"users"`
}

func readUsers(path string) (map[string]User, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && private {
		return nil, fmt.Errorf("read users: %s can be read or written by others (mode %04o): chmod 600 it, after a look at who is in it", path, mode)
	}
	decoder := json.NewDecoder(f)
	decoder.DisallowUnknownFields()
	var read file
	if err := decoder.Decode(&read); err != nil {
		return nil, fmt.Errorf("read users: %s is damaged: %w: mend it, or remove it and add the users again", path, err)
	}
	for name, user := range read.Users {
		if err := CheckUser(name, user.Permissions); err != nil {
			return nil, fmt.Errorf("read users: %s: %w", path, err)
		}
		if _, err := bcrypt.Cost([]byte(user.Hash)); err != nil {
			return nil, fmt.Errorf("read users: %s: user %s: the hash is no bcrypt hash: set the password again", path, name)
		}
	}
	return read.Users, nil
}
