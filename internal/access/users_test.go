package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func openUsers(t *testing.T) *Users {
	t.Helper()
	users, err := Open(filepath.Join(t.TempDir(), "users.json"))
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// hashed hashes as HashPassword does, but quickly.
func hashed(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestUsersFile(t *testing.T) {
	hash := hashed(t, "a long password")
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       string // in the error; "": none
	}{
		{"good", `{"users":{"lamp":{"hash":"` + hash + `","publish":["a/#"]}}}`, 0o600, ""},
		{"none", `{}`, 0o600, ""},
		{"readable by others", `{}`, 0o640, "chmod 600"},
		{"writable by others", `{}`, 0o602, "chmod 600"},
		{"damaged", `{"users":`, 0o600, "damaged"},
		{"a mistyped key", `{"users":{"lamp":{"hash":"` + hash + `","publsh":["a"]}}}`, 0o600, "publsh"},
		{"a plain password", `{"users":{"lamp":{"hash":"secret"}}}`, 0o600, "bcrypt"},
		{"the owner's name", `{"users":{"coma":{"hash":"` + hash + `"}}}`, 0o600, "owner"},
		{"a bad name", `{"users":{"a:b":{"hash":"` + hash + `"}}}`, 0o600, "a:b"},
		{"a bad pattern", `{"users":{"lamp":{"hash":"` + hash + `","subscribe":["a/#/b"]}}}`, 0o600, "a/#/b"},
		{"a bad agent", `{"users":{"lamp":{"hash":"` + hash + `","agents":["a/b"]}}}`, 0o600, "a/b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "users.json")
			if err := os.WriteFile(path, []byte(test.text), test.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestAnotherProcessChangesTheFile(t *testing.T) {
	users := openUsers(t)
	other, err := Open(users.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Set("lamp", User{Hash: hashed(t, "a long password")}); err != nil {
		t.Fatal(err)
	}
	if changed, err := users.Refresh(); err != nil || !changed || users.Count() != 1 {
		t.Fatalf("changed %t, %v; %d users", changed, err, users.Count())
	}
	if changed, err := users.Refresh(); err != nil || changed {
		t.Errorf("without a change: changed %t, %v", changed, err)
	}
	info, err := os.Stat(users.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A file that is damaged leaves the users as they were.
	if err := os.WriteFile(users.path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := users.Refresh(); err == nil || users.Count() != 1 {
		t.Errorf("a damaged file: %v, %d users", err, users.Count())
	}
	if err := os.Remove(users.path); err != nil {
		t.Fatal(err)
	}
	if changed, err := users.Refresh(); err != nil || !changed || users.Count() != 0 {
		t.Errorf("a removed file: changed %t, %v; %d users", changed, err, users.Count())
	}
	if err := users.Remove("lamp"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("remove nobody: %v", err)
	}
}

func TestLogin(t *testing.T) {
	users := openUsers(t)
	if err := users.Set("lamp", User{Hash: hashed(t, "a long password")}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, password string }{
		{"lamp", "a wrong password"}, {"lamp", ""}, {"lamp", strings.Repeat("x", 100)}, {"nobody", "a long password"}, {"", ""},
	} {
		_, err := users.Login(t.Context(), "10.0.0.1", test.name, test.password)
		if !errors.Is(err, api.ErrUnauthorized) || errors.Is(err, ErrThrottled) {
			t.Errorf("%q, %q: %v", test.name, test.password, err)
		}
	}
	// That was one failure too many, from that address alone.
	if _, err := users.Login(t.Context(), "10.0.0.1", "lamp", "a long password"); !errors.Is(err, ErrThrottled) {
		t.Errorf("after many failures: %v", err)
	}
	for _, address := range []string{"10.0.0.2", "127.0.0.1", ""} {
		id, err := users.Login(t.Context(), address, "lamp", "a long password")
		if err != nil || id.User() != "lamp" {
			t.Errorf("from %q: %v", address, err)
		}
	}
	if _, err := bcrypt.Cost([]byte(nobody)); err != nil {
		t.Errorf("the hash of nobody is none: unknown users are answered sooner than known ones: %v", err)
	}
	if _, err := HashPassword("short"); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a short password: %v", err)
	}
	if _, err := HashPassword(strings.Repeat("x", 73)); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a password longer than bcrypt looks at: %v", err)
	}
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(time.Now)
		var pauses []time.Duration
		for range 13 {
			throttle.Failed("10.0.0.1", "lamp")
			pauses = append(pauses, throttle.Refused("10.0.0.1"))
		}
		for i, pause := range pauses {
			switch {
			case i < free-1 && pause != 0, i >= free-1 && pause == 0, i > 0 && pause < pauses[i-1], pause > longest:
				t.Fatalf("pauses are %v", pauses)
			}
		}
		if throttle.Refused("10.0.0.2") != 0 || throttle.Refused("127.0.0.1") != 0 {
			t.Error("an address pays for another")
		}
		start := time.Now()
		if err := throttle.Wait(t.Context(), "lamp"); err != nil || time.Since(start) != longestWait {
			t.Errorf("waited %v, %v", time.Since(start), err)
		}
		start = time.Now()
		if err := throttle.Wait(t.Context(), "other"); err != nil || time.Since(start) != 0 {
			t.Errorf("another user waited %v, %v", time.Since(start), err)
		}
		time.Sleep(longest)
		if throttle.Refused("10.0.0.1") != 0 {
			t.Error("still refused after the longest pause")
		}
		time.Sleep(forget)
		throttle.Failed("10.0.0.1", "lamp")
		if throttle.Refused("10.0.0.1") != 0 {
			t.Error("old failures are not forgotten")
		}
		// Those who wait are bounded, and whoever gives up makes room.
		for range free {
			throttle.Failed("", "lamp")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		for range maxWaiting {
			go func() { ended <- throttle.Wait(ctx, "lamp") }()
		}
		synctest.Wait()
		if err := throttle.Wait(ctx, "lamp"); !errors.Is(err, ErrThrottled) {
			t.Errorf("one too many: %v", err)
		}
		cancel()
		for range maxWaiting {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("given up: %v", err)
			}
		}
		if err := throttle.Wait(t.Context(), "lamp"); err != nil {
			t.Error(err)
		}
	})
}

func TestThrottleRemembersABoundedNumber(t *testing.T) {
	throttle := NewThrottle(time.Now)
	for i := range 3 * maxFailures {
		throttle.Failed("", fmt.Sprint(i))
	}
	if n := len(throttle.failed); n > maxFailures || n < maxFailures/2 {
		t.Errorf("%d are remembered", n)
	}
	if throttle.failed[fmt.Sprint("user:", 3*maxFailures-1)] == nil {
		t.Error("the latest is not among them")
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "10.1.2.3", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"127.0.0.1": "", "::1": "", "::ffff:127.0.0.1": "", "": "", "@": "", "name": "",
	} {
		if got := Network(address); got != want {
			t.Errorf("%q is %q, want %q", address, got, want)
		}
	}
}

func TestNamesOfUsers(t *testing.T) {
	for name, want := range map[string]bool{
		"gardener": true, "é.1_@-": true, strings.Repeat("é", 64): true,
		"": false, strings.Repeat("é", 65): false, "-a": false, "a b": false, "a\n": false, "a:b": false, "a\xff": false, OwnerName: false,
	} {
		if err := CheckUser(name, Permissions{}); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}
