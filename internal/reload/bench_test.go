package reload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/project"
)

// BenchmarkEdit measures from a file's rename to the Change that tells it, the default debounce (50 ms) included.
func BenchmarkEdit(b *testing.B) {
	for _, modules := range []int{3, 100} {
		b.Run(fmt.Sprintf("modules=%d", modules), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "garden")
			must := func(err error) {
				if err != nil {
					b.Fatal(err)
				}
			}
			for i := range modules {
				name := fmt.Sprintf("m%d", i)
				must(os.MkdirAll(filepath.Join(dir, name), 0o755))
				must(os.WriteFile(filepath.Join(dir, name, name+".go"), []byte("package "+name+"\n\nfunc Run() {}\n"), 0o644))
			}
			initial, err := project.Load(dir)
			must(err)
			ctx, cancel := context.WithCancel(context.Background())
			changes := make(chan Change, 1)
			ended := make(chan error, 1)
			go func() { ended <- Watch(ctx, initial, Options{}, func(c Change) { changes <- c }) }()
			temporary, file := filepath.Join(dir, "m0", "x.tmp"), filepath.Join(dir, "m0", "m0.go")
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				must(os.WriteFile(temporary, fmt.Appendf(nil, "package m0\n\nfunc Run() { println(%d) }\n", i), 0o644))
				b.StartTimer()
				must(os.Rename(temporary, file))
				if c := <-changes; len(c.Changed) != 1 {
					b.Fatalf("told %q", show(c))
				}
			}
			cancel()
			must(<-ended)
		})
	}
}
