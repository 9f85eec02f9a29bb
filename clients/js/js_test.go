package js_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// patience is how long the tests in one file may take on a busy machine.
const patience = 5 * time.Minute

// TestClient runs test/*.test.js, each file in a Node of its own, against hosts that this test binary is. COMA_NODE names
// another Node than the one on PATH.
func TestClient(t *testing.T) {
	node := os.Getenv("COMA_NODE")
	if node == "" {
		var err error
		if node, err = exec.LookPath("node"); err != nil {
			t.Skip("no node: install Node.js")
		}
	}
	files, err := filepath.Glob("test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatal("no tests found:", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, file)
			cmd.WaitDelay = time.Second // hosts of a Node that was killed end with it, a little later
			cmd.Env = append(os.Environ(), "COMA_TEST_BINARY="+os.Args[0])
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestTypes checks the JSDoc types of coma.js, and that coma.d.ts says the same to a program in TypeScript.
func TestTypes(t *testing.T) {
	dir, err := peers.Node()
	if err != nil {
		t.Skip(err)
	}
	tsc := filepath.Join(dir, "node_modules", ".bin", "tsc")
	if _, err := os.Stat(tsc); err != nil {
		t.Skip("no typescript beside chromadb: npm install --prefix .peers typescript @types/node@20")
	}
	cmd := exec.CommandContext(t.Context(), tsc, "--project", "test/tsconfig.json", "--typeRoots", filepath.Join(dir, "node_modules", "@types"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
