package python_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestClient runs the client's own tests, in the folder beside, with the Python that is found first, against a coma that is
// built for them. Each file of tests is one subtest.
func TestClient(t *testing.T) {
	if testing.Short() {
		t.Skip("builds coma and runs whole agents")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	binary := filepath.Join(t.TempDir(), "coma")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/coma").CombinedOutput(); err != nil {
		t.Fatalf("build coma: %v\n%s", err, out)
	}
	files, err := filepath.Glob("tests/test_*.py")
	if err != nil || len(files) == 0 {
		t.Fatalf("tests/test_*.py: %v, %d files", err, len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".py")
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), python, "-W", "error::ResourceWarning", "-m", "unittest", name)
			cmd.Dir = "tests"
			cmd.Env = append(os.Environ(), "COMA_BINARY="+binary, "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
