// Package peers finds the programs that tests and benchmarks compare coma with: the real Chroma, its clients in Python and
// JavaScript, and the Python framework (or a stand-in for it, in the folder framework). "make peers" installs them into
// the folder .peers of the repository; COMA_PEERS names another.
package peers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Python returns the path of a Python interpreter that has the package chromadb.
func Python() (string, error) { return find("venv/bin/python") }

// Chroma returns the path of the real Chroma's command.
func Chroma() (string, error) { return find("venv/bin/chroma") }

// Node returns the folder whose node_modules has the package chromadb.
func Node() (string, error) {
	path, err := find("node_modules/chromadb")
	if err != nil {
		return "", err
	}
	return filepath.Dir(filepath.Dir(path)), nil
}

func find(name string) (string, error) {
	dir := os.Getenv("COMA_PEERS")
	if dir == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".peers")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no %s in %s: run make peers", name, dir)
	}
	return path, nil
}

// repository returns the nearest folder above the working directory that has a go.mod file: tests run in their package's.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find peers: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find peers: no go.mod above the working directory: set COMA_PEERS")
		}
		dir = parent
	}
}

// Framework returns a Python interpreter and a folder to import the Python framework from: its checkout, which
// COMA_FRAMEWORK names and whose requirements the interpreter must have, or else a stand-in.
func Framework() (python, dir string, err error) {
	python, err = find("venv/bin/python")
	if err != nil {
		return "", "", err
	}
	if dir = os.Getenv("COMA_FRAMEWORK"); dir != "" {
		return python, dir, nil
	}
	if paho, err := filepath.Glob(filepath.Join(filepath.Dir(python), "../lib/python3*/site-packages/paho")); err != nil || len(paho) == 0 {
		return "", "", fmt.Errorf("no paho-mqtt beside %s: run make peers", python)
	}
	root, err := repository()
	if err != nil {
		return "", "", err
	}
	return python, filepath.Join(root, "internal/peers/framework"), nil
}
