package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxEntries bounds one walk: a link to a whole disk, or a data set with a file a picture, must not hang a project.
const maxEntries = 50_000

var errTooMany = errors.New("too many files; name those that do not matter in coma.yaml (watch: {ignore: […]})")

// Walk visits root, a folder of the project, and what is below it except what Ignored names: folders before
// what they hold, in the order of names. Links to folders are followed, each target once, and never upwards. The visitor is
// fs.WalkDir's: called for a folder before it is read (so that a watch can be set first), and once more if reading fails; it may
// return fs.SkipDir. Walk gives up with an error after 50,000 entries.
func (p *Project) Walk(root string, visit fs.WalkDirFunc) error {
	info, err := os.Stat(root)
	if err != nil {
		return visit(root, nil, err)
	}
	w := &walk{project: p, root: root, visit: visit, followed: make(map[string]bool)}
	err = w.entry(root, fs.FileInfoToDirEntry(info))
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

type walk struct {
	project  *Project
	root     string
	visit    fs.WalkDirFunc
	entries  int
	followed map[string]bool // real paths of links' targets
}

func (w *walk) entry(path string, d fs.DirEntry) error {
	if w.entries++; w.entries > maxEntries {
		return errTooMany
	}
	if err := w.visit(path, d, nil); err != nil || !d.IsDir() {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		if err := w.visit(path, d, err); err != nil {
			return err
		}
	}
	for _, d := range entries {
		child := filepath.Join(path, d.Name())
		if d.Type()&fs.ModeSymlink != 0 {
			d = w.follow(child, d)
			if d == nil {
				continue
			}
		}
		if w.project.Ignored(child, d.IsDir()) {
			continue
		}
		if err := w.entry(child, d); err != nil && !(errors.Is(err, fs.SkipDir) && d.IsDir()) {
			return err
		}
	}
	return nil
}

// follow returns what a link leads to, the link itself where that is nothing, and nil where it was visited already.
func (w *walk) follow(path string, link fs.DirEntry) fs.DirEntry {
	info, err := os.Stat(path)
	if err != nil {
		return link // dangling, or a loop of links: it counts as a link
	}
	if info.IsDir() {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return link
		}
		root, err := filepath.EvalSymlinks(w.root)
		if err != nil || w.followed[real] || within(root, real) {
			return nil
		}
		w.followed[real] = true
	}
	return named{fs.FileInfoToDirEntry(info), link.Name()}
}

// named is an entry under its link's name.
type named struct {
	fs.DirEntry
	name string
}

func (n named) Name() string { return n.name }

// within says whether path is folder or lies below it.
func within(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || rest[0] == filepath.Separator || strings.HasSuffix(folder, string(filepath.Separator)))
}
