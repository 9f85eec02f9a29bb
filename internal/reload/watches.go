package reload

import (
	"errors"
	"io/fs"
	"os"

	"github.com/fsnotify/fsnotify"
)

// watched is a folder under watch. The system watches a folder itself, not its name: info tells when another one has
// taken the name.
type watched struct{ info fs.FileInfo }

func (w *watcher) open(system *fsnotify.Watcher) {
	w.system, w.events, w.errors = system, system.Events, system.Errors
	w.watchAll()
}

// close ends the system's watcher; what is left is polling.
func (w *watcher) close() {
	if w.system == nil {
		return
	}
	if err := w.system.Close(); err != nil {
		w.log.Warn("close watcher", "err", err)
	}
	w.system, w.events, w.errors, w.watched = nil, nil, nil, nil
}

// watchAll makes the watches those of the folders that are there. First it forgets what is gone or replaced: a folder that moved
// within the project keeps its watch under the old name otherwise, and cannot get one under the new.
func (w *watcher) watchAll() {
	w.stale = false
	have := make(map[string]watched)
	for _, path := range w.system.WatchList() {
		was, known := w.watched[path]
		info, err := os.Stat(path)
		if known && err == nil && info.IsDir() && os.SameFile(was.info, info) && !w.current.Ignored(path, true) {
			have[path] = was
			continue
		}
		// The system forgets folders that are gone by itself, at any time: not to find the watch is as good.
		if err := w.system.Remove(path); err != nil {
			w.log.Debug("forget watch", "dir", path, "err", err)
		}
	}
	w.watched = have
	w.watchTree(w.current.Dir)
}

// watchCreated watches what was created, if it is a folder, and says whether it matters to the project.
func (w *watcher) watchCreated(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return true
	}
	if w.current.Ignored(path, true) {
		return false
	}
	// A name that is watched already stands for a folder that was there before.
	w.stale = true
	w.watchTree(path)
	return true
}

// watchTree watches root and the folders below it: each before it is read, so that what is created in it is either read or told.
func (w *watcher) watchTree(root string) {
	err := w.current.Walk(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // gone, or unreadable: the look after this tells
		}
		if _, ok := w.watched[path]; ok {
			return nil
		}
		info, err := os.Stat(path) // before the watch: if the folder is replaced in between, the next watchAll sees it
		if err != nil {
			return nil
		}
		switch err := w.add(w.system, path); {
		case err == nil:
			w.watched[path] = watched{info}
		case outOfWatches(err):
			return err
		case !errors.Is(err, fs.ErrNotExist):
			w.log.Warn("watch folder", "dir", path, "err", err)
		}
		return nil
	})
	switch {
	case err == nil:
	case outOfWatches(err):
		w.fallBack(err)
	default:
		w.log.Warn("watch project", "dir", root, "err", err)
	}
}
