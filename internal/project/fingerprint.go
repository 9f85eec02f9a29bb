package project

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"go/token"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxHashedBytes: larger files count by size and time of modification, so that a data set beside a module does not make
// every edit slow.
const maxHashedBytes = 1 << 20

// fingerprint hashes all that matters to m. Names are relative, so that a project keeps its fingerprints where it is
// moved.
func (l *loader) fingerprint(m *Module) string {
	d := digest{sha256.New()}
	d.add("module", m.Name, m.Engine, m.Isolation, m.Restart, fmt.Sprint(m.MemoryLimit), m.Grace.String(), m.Mailbox)
	for _, name := range slices.Sorted(maps.Keys(m.Env)) {
		d.add("env", name, m.Env[name])
	}
	// go.mod says which version of the language the source is in, and what it is compiled with.
	if m.Exec == nil {
		d.add("go.mod", l.fileSum(filepath.Join(l.root, "go.mod"), nil), l.fileSum(filepath.Join(l.root, "go.sum"), nil))
	}
	if m.Exec != nil {
		d.add("program", l.rel(m.Program), string(m.Exec.Kind), fmt.Sprint(m.Exec.Framework))
		d.add("command", m.Exec.Command...)
		for _, file := range m.Exec.Sources {
			d.add("source", l.rel(file), l.fileSum(file, nil))
		}
		for _, folder := range m.Exec.Folders {
			d.add("package", l.rel(folder), l.folderSum(folder, false))
		}
	}
	if m.File != "" {
		d.add("file", l.rel(m.File), l.fileSum(m.File, nil))
	} else {
		d.add("folder", l.folderSum(m.Dir, false))
	}
	for _, folder := range m.Imports {
		d.add("import", l.rel(folder), l.folderSum(folder, true))
	}
	return hex.EncodeToString(d.Sum(nil))
}

// folderSum hashes what is in folder and below it: for a module all, for a shared package without the folders that
// hold packages of their own (they count where they are imported). The project's own folder, imported as a package,
// counts with its Go files alone: the rest is the modules'.
func (l *loader) folderSum(folder string, shared bool) string {
	key := folder
	if !shared {
		key = "module " + folder
	}
	if sum, ok := l.sums[key]; ok {
		return sum
	}
	d := digest{sha256.New()}
	if folder == l.root {
		for _, file := range l.packageIn(folder).files {
			d.add(l.rel(file), l.fileSum(file, nil))
		}
	} else if err := l.project.Walk(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed since: the next look finds it so
		case err != nil:
			l.problem(path, token.Position{}, fmt.Sprintf("read: %v", err))
			return nil
		case !entry.IsDir():
			rel, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			if sum := l.fileSum(path, entry); sum != "" {
				d.add(filepath.ToSlash(rel), sum)
			}
		case shared && path != folder && hasGoFiles(path):
			return fs.SkipDir
		}
		return nil
	}); err != nil {
		l.problem(folder, token.Position{}, fmt.Sprintf("look for changes: %v", err))
	}
	l.sums[key] = string(d.Sum(nil))
	return l.sums[key]
}

func hasGoFiles(folder string) bool {
	entries, err := os.ReadDir(folder)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && goFile(e.Name()) })
}

// fileSum hashes one file. entry may be nil. A file that is not there has the sum "".
func (l *loader) fileSum(path string, entry fs.DirEntry) string {
	if sum, ok := l.sums[path]; ok {
		return sum
	}
	sum, err := readSum(path, entry)
	if err != nil {
		// The same file read through two modules is one problem.
		l.problem(path, token.Position{}, fmt.Sprintf("look for changes: %v", err))
		sum = "unreadable"
	}
	l.sums[path] = sum
	return sum
}

func readSum(path string, entry fs.DirEntry) (string, error) {
	var info fs.FileInfo
	var err error
	if entry != nil {
		info, err = entry.Info()
	} else {
		info, err = os.Stat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular(): // a dangling link, a pipe, a socket: never opened
		return info.Mode().Type().String(), nil
	case info.Size() > maxHashedBytes:
		return fmt.Sprintf("%d bytes of %d", info.Size(), info.ModTime().UnixNano()), nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close() // only read from
	h := sha256.New()
	// What grows while it is read changes again, and is read again; here it must only end.
	if _, err := io.Copy(h, io.LimitReader(f, maxHashedBytes)); err != nil {
		return "", err
	}
	sum := string(h.Sum(nil))
	if info.Mode()&0o111 != 0 && !strings.HasSuffix(path, ".go") { // a script made executable
		sum += "x"
	}
	return sum, nil
}

// digest hashes lists of strings so that no two different lists are hashed as the same bytes.
type digest struct{ hash.Hash }

func (d digest) add(kind string, parts ...string) {
	var length [8]byte
	for _, part := range slices.Concat([]string{kind}, parts, []string{""}) {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		d.Write(length[:])
		d.Write([]byte(part))
	}
}
