package standalone

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// unpack puts the agent's files where modules find them (agent.Dir) and returns the project's folder: within, if that is
// given, else within the user's cache, by the digest of the files. So it happens once for each build of the agent; what
// modules write there stays for as long as the same build runs. The folder appears whole or not at all.
func unpack(agent Agent, within string) (dir string, err error) {
	sum := sha256.Sum256([]byte(agent.Files))
	if within == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a folder for the agent's files: %w: set XDG_CACHE_HOME, or say --files", err)
		}
		within = filepath.Join(cache, "coma", "agents")
	}
	if within, err = filepath.Abs(within); err != nil {
		return "", fmt.Errorf("find a folder for the agent's files: %w", err)
	}
	home := filepath.Join(within, agent.Folder+"-"+hex.EncodeToString(sum[:8]))
	dir = filepath.Join(home, agent.Folder)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir, nil
	}
	files, err := zip.NewReader(strings.NewReader(agent.Files), int64(len(agent.Files)))
	if err != nil {
		return "", fmt.Errorf("unpack the agent's files: %w", err)
	}
	if err := os.MkdirAll(within, 0o755); err != nil {
		return "", fmt.Errorf("unpack the agent's files: %w", err)
	}
	work, err := os.MkdirTemp(within, ".new-")
	if err != nil {
		return "", fmt.Errorf("unpack the agent's files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }() // it is gone by then, if all went well
	if err := os.CopyFS(filepath.Join(work, agent.Folder), files); err != nil {
		return "", fmt.Errorf("unpack the agent's files: %w", err)
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return "", fmt.Errorf("unpack the agent's files: %w", err)
	}
	if err := os.Rename(work, home); err != nil && !errors.Is(err, fs.ErrExist) { // another start was faster
		return "", fmt.Errorf("unpack the agent's files: %w", err)
	}
	return dir, nil
}
