//go:build linux

package memory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// TestFullDisk runs fillDisk on a small file system of its own, where root may make one, and with a limit to the size of
// files elsewhere. Both in a process of their own: the limit is the process's.
func TestFullDisk(t *testing.T) {
	run := func(t *testing.T, path, ballast string) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), crashEnv+"=full", crashPathEnv+"="+path, "COMA_TEST_MEMORY_BALLAST="+ballast)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	t.Run("file size", func(t *testing.T) { run(t, temp(t), "") })
	t.Run("file system", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
			t.Skipf("no file system of 4 MB can be made here (that takes root): %v", err)
		}
		defer func() {
			if err := syscall.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		}()
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, filepath.Join(dir, "plant.db"), ballast)
	})
}

// fillDisk adds until there is no room, makes room, and goes on. It is the work of a process of its own.
func fillDisk(ctx context.Context, s *Store, path string) error {
	ballast := os.Getenv("COMA_TEST_MEMORY_BALLAST")
	makeRoom := func() error { return os.Remove(ballast) }
	if ballast == "" {
		signal.Ignore(syscall.SIGXFSZ) // so that writing past the limit is an error
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		before := limit.Cur
		limit.Cur = 2 << 20
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		makeRoom = func() error {
			limit.Cur = before
			return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
		}
	}
	stored := map[string]bool{}
	add := func(i int) error {
		id := fmt.Sprint(i)
		_, err := s.Add(ctx, []api.Record{{ID: id, Text: strings.Repeat("text of "+id+" ", 1000)}})
		if err == nil {
			stored[id] = true
		}
		return err
	}
	check := func(when string) error {
		records, err := s.Get(ctx, api.Selection{})
		if err != nil {
			return err
		}
		for _, r := range records {
			if !stored[r.ID] || r.Text != strings.Repeat("text of "+r.ID+" ", 1000) {
				return fmt.Errorf("%s: record %s is there, acknowledged: %v", when, r.ID, stored[r.ID])
			}
		}
		if len(records) != len(stored) {
			return fmt.Errorf("%s: %d records, %d acknowledged", when, len(records), len(stored))
		}
		if matches, err := s.Query(ctx, api.Query{Text: "text of 3"}); err != nil || len(matches) != 10 {
			return fmt.Errorf("%s: query: %d, %w", when, len(matches), err)
		}
		return nil
	}
	i := 0
	for ; ; i++ {
		if err := add(i); err != nil {
			// Not errors.Is: bbolt tells it as text where the file cannot grow.
			full := strings.Contains(err.Error(), syscall.ENOSPC.Error()) || strings.Contains(err.Error(), syscall.EFBIG.Error())
			if !full || !strings.Contains(err.Error(), path) {
				return fmt.Errorf("a full disk is told as %w", err)
			}
			break
		}
		if i > 10_000 {
			return errors.New("the disk does not get full")
		}
	}
	if err := check("full"); err != nil {
		return err
	}
	for n := range 5 { // it stays full, or some room is found: either is fine, as long as it is told
		_ = add(100_000 + n)
	}
	if err := s.Reembed(ctx, turned{Hashing(16)}, nil); err == nil && ballast != "" {
		return errors.New("a full disk has room for a second file")
	}
	if err := check("full, after more tries"); err != nil {
		return err
	}
	if err := makeRoom(); err != nil {
		return err
	}
	for n := range 50 {
		if err := add(200_000 + n); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	if err := s.Compact(ctx); err != nil && ballast == "" { // the small file system may have no room for two
		return err
	}
	if err := errors.Join(check("with room again"), s.Close()); err != nil {
		return err
	}
	again, err := Open(path, crashOptions)
	if err != nil {
		return err
	}
	s = again // check reads it
	return errors.Join(check("opened again"), s.Close())
}
