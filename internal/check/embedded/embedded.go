// Package embedded finds the files that a //go:embed line names, by the rules of the go command, and makes of them the
// value that the variable below it has: for programs that run without having been built.
package embedded

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unsafe"
)

// File is an embedded file, or a directory above one.
type File struct {
	Name string // with slashes, relative to the package's folder; a directory's ends with a slash
	Data string
}

// Find returns the files of a package's folder that patterns name, in the order that embed.FS keeps, directories among
// them. A pattern that names nothing is an error, as for go build.
func Find(folder fs.FS, patterns []string) ([]File, error) {
	found := map[string]bool{}
	for _, pattern := range patterns {
		names, err := match(folder, pattern)
		if err != nil {
			return nil, fmt.Errorf("pattern %s: %w", pattern, err)
		}
		for _, name := range names {
			found[name] = true
		}
	}
	var files []File
	directories := map[string]bool{".": true}
	for name := range found {
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("embed %s: %w", name, err)
		}
		files = append(files, File{Name: name, Data: string(data)})
		for dir := path.Dir(name); !directories[dir]; dir = path.Dir(dir) {
			directories[dir] = true
			files = append(files, File{Name: dir + "/"})
		}
	}
	slices.SortFunc(files, func(a, b File) int {
		aDir, aName := path.Split(strings.TrimSuffix(a.Name, "/"))
		bDir, bName := path.Split(strings.TrimSuffix(b.Name, "/"))
		return cmp.Or(cmp.Compare(aDir, bDir), cmp.Compare(aName, bName))
	})
	return files, nil
}

// match lists the regular files that one pattern names.
func match(folder fs.FS, pattern string) ([]string, error) {
	glob, all := strings.CutPrefix(pattern, "all:")
	if _, err := path.Match(glob, ""); err != nil || glob == "." || !fs.ValidPath(glob) {
		return nil, errors.New("invalid pattern syntax")
	}
	matches, err := fs.Glob(folder, glob)
	if err != nil {
		return nil, err
	}
	if len(matches) == 0 {
		return nil, errors.New("no matching files found")
	}
	var names []string
	for _, name := range matches {
		info, err := fs.Lstat(folder, name)
		switch {
		case err != nil:
			return nil, err
		case !wellNamed(name):
			what := "file"
			if info.IsDir() {
				what = "directory"
			}
			return nil, fmt.Errorf("cannot embed %s %s: invalid name %s", what, name, path.Base(name))
		case info.Mode().IsRegular():
			names = append(names, name)
		case !info.IsDir():
			return nil, fmt.Errorf("cannot embed irregular file %s", name)
		case otherModule(folder, name):
			return nil, fmt.Errorf("cannot embed directory %s: in different module", name)
		default:
			below, err := walk(folder, name, all)
			if err != nil {
				return nil, err
			}
			if len(below) == 0 {
				return nil, fmt.Errorf("cannot embed directory %s: contains no embeddable files", name)
			}
			names = append(names, below...)
		}
	}
	return names, nil
}

// walk lists the regular files below a directory, without those that begin with . or _ unless all are wanted.
func walk(folder fs.FS, top string, all bool) ([]string, error) {
	var names []string
	err := fs.WalkDir(folder, top, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == top:
			return nil
		case !wellNamed(path.Base(name)), !all && strings.ContainsAny(path.Base(name)[:1], "._"),
			entry.IsDir() && otherModule(folder, name):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

func otherModule(folder fs.FS, directory string) bool {
	_, err := fs.Stat(folder, path.Join(directory, "go.mod"))
	return err == nil
}

// wellNamed tells whether a path may be in a module: no folders of version control, no characters that some system lacks.
func wellNamed(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if slices.Contains([]string{"", ".bzr", ".hg", ".git", ".svn"}, element) || strings.ContainsAny(element, "\"*<>?`'|\\:") {
			return false
		}
	}
	return true
}

// Single returns the one file that a string or bytes can hold; ok is false where there are more.
func Single(files []File) (data string, ok bool) {
	found := false
	for _, f := range files {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if found {
			return "", false
		}
		data, found = f.Data, true
	}
	return data, found
}

// layout is embed.FS and its file as package embed declares them; their fields have no other way in. A test reads an
// embed.FS made here through its methods, so a Go that declares it otherwise is noticed.
type layout struct {
	files *[]file
}

type file struct {
	name string
	data string
	hash [16]byte // for the linker alone
}

// FS makes an embed.FS of what Find returned.
func FS(files []File) embed.FS {
	list := make([]file, len(files))
	for i, f := range files {
		list[i] = file{name: f.Name, data: f.Data}
	}
	made := layout{&list}
	return *(*embed.FS)(unsafe.Pointer(&made))
}
