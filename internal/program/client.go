package program

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/concurrent-modular-agent/coma/clients/js"
	"github.com/concurrent-modular-agent/coma/clients/python"
)

// nodeClient is how JavaScript names coma's own library.
var nodeClient = regexp.MustCompile(`["']coma["']`)

// lendClient lets the program import coma's own library for its language without having it installed, if it does (what
// starts modules of the framework does). One that is installed comes first for JavaScript; for Python, in the program's
// own folder. The arguments are for node.
func (p *Program) lendClient(e *environment) (args []string, err error) {
	switch {
	case p.Framework || p.language() == Python && slices.ContainsFunc(p.Sources, UsesComa):
		dir, err := unpack(python.Files)
		if err != nil {
			return nil, err
		}
		path := dir
		if before := e.get("PYTHONPATH"); before != "" {
			path = before + string(filepath.ListSeparator) + dir
		}
		e.set("PYTHONPATH", path)
	case p.language() == Node && slices.ContainsFunc(p.Sources, func(file string) bool { return nodeClient.Match(text(file)) }):
		dir, err := unpack(js.Files, "node_modules", "coma")
		if err != nil {
			return nil, err
		}
		modules := filepath.Join(dir, "node_modules")
		path := modules
		if before := e.get("NODE_PATH"); before != "" {
			path = before + string(filepath.ListSeparator) + modules
		}
		e.set("NODE_PATH", path)
		register := (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(modules, "coma", "register.js"))}).String()
		if len(p.Command) == 0 && p.Kind == Node {
			return []string{"--import", register}, nil
		}
		options := "--import=" + register
		if before := e.get("NODE_OPTIONS"); before != "" {
			options = before + " " + options
		}
		e.set("NODE_OPTIONS", options)
	}
	return nil, nil
}

// UsesComa tells whether a Python file imports coma's own library.
func UsesComa(file string) bool { return slices.Contains(pythonImports(text(file)), "coma") }

// unpack writes files into a folder of coma's in the user's cache, below the given names, unless they are there already,
// and returns that folder. It is named by what is in it: coma binaries of several versions do not meet in it.
func unpack(files fs.FS, below ...string) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("unpack coma's library: %w", err) }
	cache, err := os.UserCacheDir()
	if err != nil {
		return fail(err)
	}
	names, err := fs.Glob(files, "*")
	if err != nil {
		return fail(err)
	}
	digest := sha256.New()
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return fail(err)
		}
		fmt.Fprintf(digest, "%q %d ", name, len(data))
		digest.Write(data)
	}
	dir := filepath.Join(cache, "coma", "clients", hex.EncodeToString(digest.Sum(nil)[:12]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fail(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return fail(err)
	}
	err = os.CopyFS(filepath.Join(append([]string{fresh}, below...)...), files)
	if err == nil {
		err = os.Chmod(fresh, 0o755)
	}
	if err == nil {
		err = os.Rename(fresh, dir)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(fresh))
		if _, there := os.Stat(dir); there == nil {
			return dir, nil // another process was faster
		}
		return fail(err)
	}
	return dir, nil
}
