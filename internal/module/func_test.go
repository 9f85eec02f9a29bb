//go:build unix

package module

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

func obedient(ctx context.Context, _ *coma.Agent) error {
	<-ctx.Done()
	return ctx.Err()
}

func panics(context.Context, *coma.Agent) error {
	var m map[string]int
	m["a"] = 1
	return nil
}

func stubborn(release <-chan struct{}) coma.RunFunc {
	return func(context.Context, *coma.Agent) error {
		<-release
		return nil
	}
}
