// Package second says that it is there, and waits.
package second

import (
	"context"
	"strconv"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	agent.Log("running " + strconv.FormatInt(time.Now().UnixNano(), 10))
	<-ctx.Done()
	return ctx.Err()
}
