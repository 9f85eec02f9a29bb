package project

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ignore knows what in a project never counts: not for a module's fingerprint, not for the watcher.
type ignore struct {
	globs [][]string // coma.yaml's watch.ignore, split at slashes
}

// Ignored says whether whatever happens to path (absolute, in the project) changes nothing: an editor's leftover, a test, a dot
// folder, a Python environment, something that coma.yaml's watch.ignore names, or something below such a folder.
func (p *Project) Ignored(path string, folder bool) bool {
	rel, err := filepath.Rel(p.Dir, path)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return false
	}
	return p.ignore.ignored(filepath.ToSlash(rel), folder) || p.inVirtualenv(rel, folder)
}

// inVirtualenv tells whether a path relative to the project is, or lies in, a Python environment, whatever its name is.
func (p *Project) inVirtualenv(rel string, folder bool) bool {
	if !folder {
		rel = filepath.Dir(rel)
	}
	for ; rel != "."; rel = filepath.Dir(rel) {
		if _, err := os.Lstat(filepath.Join(p.Dir, rel, "pyvenv.cfg")); err == nil {
			return true
		}
	}
	return false
}

// ignored takes a path relative to the project, with slashes.
func (g ignore) ignored(rel string, folder bool) bool {
	segments := strings.Split(rel, "/")
	for i, name := range segments {
		if isFolder := i < len(segments)-1 || folder; isFolder && ignoredFolder(name) || !isFolder && leftover(name) {
			return true
		}
		for _, glob := range g.globs {
			// A glob without a slash names files and folders wherever they are.
			if len(glob) == 1 && matchSegment(glob[0], name) || len(glob) > 1 && matchSegments(glob, segments[:i+1]) {
				return true
			}
		}
	}
	return false
}

// ignoredFolder names folders that hold no module and none of a module's source.
func ignoredFolder(name string) bool {
	switch name {
	case "testdata", "vendor", "node_modules", "__pycache__", "venv":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// leftover names files that editors and tools leave beside the ones that count, and Go's tests.
func leftover(name string) bool {
	switch {
	case name == "4913", name == ".DS_Store": // vim's probe whether it may write here; the Finder's
		return true
	case strings.HasSuffix(name, "~"), strings.HasSuffix(name, ".tmp"), strings.HasSuffix(name, ".log"), strings.HasSuffix(name, "_test.go"):
		return true
	case strings.HasSuffix(name, ".pyc"), strings.HasSuffix(name, ".pyo"): // Python's own copies of source
		return true
	case strings.HasPrefix(name, ".#"), strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"): // Emacs: lock, autosave
		return true
	}
	// vim's swap files are .name.swp, then .swo, .swn … where one is there already.
	return strings.HasPrefix(name, ".") && matchSegment("*.sw[a-p]", name)
}

// parseGlob splits a pattern of path.Match, with ** for any number of folders. One with a slash is relative to the
// project's folder.
func parseGlob(pattern string) ([]string, error) {
	trimmed := strings.TrimSuffix(strings.TrimPrefix(pattern, "./"), "/")
	rooted := strings.HasPrefix(trimmed, "/")
	segments := strings.Split(strings.TrimPrefix(trimmed, "/"), "/")
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return nil, fmt.Errorf("bad pattern %q: give a file name (*.csv) or a path in the project (chat/cache/*)", shortened(pattern))
		}
		if _, err := path.Match(segment, ""); err != nil {
			return nil, fmt.Errorf("bad pattern %q: %w", shortened(pattern), err)
		}
	}
	if rooted && len(segments) == 1 {
		// Two segments make it a path, and the ** before the end matches none.
		return []string{segments[0], "**"}, nil
	}
	return segments, nil
}

// matchSegments matches a pattern with a path of the same kind; ** stands for any number of segments, none included.
func matchSegments(glob, segments []string) bool {
	for len(glob) > 0 {
		if glob[0] == "**" {
			for len(glob) > 0 && glob[0] == "**" {
				glob = glob[1:]
			}
			for i := range len(segments) + 1 {
				if matchSegments(glob, segments[i:]) {
					return true
				}
			}
			return false
		}
		if len(segments) == 0 || !matchSegment(glob[0], segments[0]) {
			return false
		}
		glob, segments = glob[1:], segments[1:]
	}
	return len(segments) == 0
}

// matchSegment is path.Match for patterns that parseGlob has checked.
func matchSegment(pattern, name string) bool {
	matched, err := path.Match(pattern, name)
	return err == nil && matched
}

// SameIgnore says whether Ignored says the same in both projects.
func (p *Project) SameIgnore(other *Project) bool {
	return slices.EqualFunc(p.ignore.globs, other.ignore.globs, slices.Equal)
}
