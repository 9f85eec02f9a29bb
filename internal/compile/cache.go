package compile

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// How long what is built is kept.
const (
	keptOfModule = 3                   // builds of one module: the one that runs, the one before, the one that is tried
	keptUnused   = 30 * 24 * time.Hour // builds of modules that nobody has run since
)

// cacheDir is coma's folder for builds.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for what is built: %w: set XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "coma", "build"), nil
}

// entry is the place of one build in the cache.
type entry struct {
	dir    string
	prefix string // of the folders of all builds of the same module
	// sealed tells that the entry's name says all that went into it. Otherwise (files that are embedded, requirements
	// in folders) go build is asked each time whether the executable is still right: a tenth of a second if it is.
	sealed bool
}

// entry finds the place of a module's build. Its name is a digest of what decides the outcome.
func (b *build) entry(spec Spec, p *modulePackage) (entry, error) {
	self, err := os.Executable()
	if err != nil {
		return entry{}, fmt.Errorf("find this program's file: %w", err)
	}
	info, err := os.Stat(self) // another build of coma brings other packages
	if err != nil {
		return entry{}, fmt.Errorf("find this program's file: %w", err)
	}
	e := entry{sealed: spec.Text != nil && !b.requirements.local}
	parts := [][]byte{
		[]byte(p.importPath), []byte(spec.ProjectDir), []byte(b.tool.version), b.requirements.text,
		fmt.Append(nil, self, info.Size(), info.ModTime().UnixNano(), runtime.GOARCH),
	}
	for _, name := range []string{"CGO_ENABLED", "GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOTOOLCHAIN"} {
		parts = append(parts, []byte(name+"="+os.Getenv(name)))
	}
	for _, name := range spec.GoFiles {
		parts = append(parts, []byte(name))
	}
	names := make([]string, 0, len(spec.Text))
	for name := range spec.Text {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text := spec.Text[name]
		parts = append(parts, []byte(name), []byte(text))
		e.sealed = e.sealed && !strings.Contains(text, "//go:embed")
	}
	e.prefix = "module-" + digest([]byte(spec.ProjectDir), []byte(spec.Name))[:12] + "-"
	e.dir = filepath.Join(b.cache, e.prefix+digest(parts...))
	return e, nil
}

func (e entry) executable() string { return filepath.Join(e.dir, "module") }

func (e entry) exists() bool {
	info, err := os.Stat(e.executable())
	return err == nil && info.Mode().IsRegular()
}

// use notes that the entry is in use, and removes those that are not any more.
func (e entry) use() error {
	if err := touch(e.dir); err != nil {
		return err
	}
	return prune(filepath.Dir(e.dir), time.Now())
}

// touch makes a folder the newest.
func touch(dir string) error {
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err != nil {
		return fmt.Errorf("note the use of %s: %w", dir, err)
	}
	return nil
}

// prune removes builds beyond those that are kept. An executable that runs may be among them: its process keeps it.
func prune(cache string, now time.Time) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return fmt.Errorf("look for old builds: %w", err)
	}
	type build struct {
		name string
		used time.Time
	}
	groups := map[string][]build{}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process prunes too
		}
		if err != nil {
			return fmt.Errorf("look for old builds: %w", err)
		}
		group := e.Name()
		if i := strings.LastIndexByte(group, '-'); strings.HasPrefix(group, "module-") {
			group = group[:i]
		}
		groups[group] = append(groups[group], build{e.Name(), info.ModTime()})
	}
	for _, builds := range groups {
		slices.SortFunc(builds, func(x, y build) int { return cmp.Compare(y.used.UnixNano(), x.used.UnixNano()) })
		for i, old := range builds {
			if i < keptOfModule && now.Sub(old.used) < keptUnused {
				continue
			}
			if err := os.RemoveAll(filepath.Join(cache, old.name)); err != nil {
				return fmt.Errorf("remove old build: %w", err)
			}
		}
	}
	return nil
}

// digest names a list of values, so that no two different lists have the same name.
func digest(parts ...[]byte) string {
	h := sha256.New()
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
