package coma

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Every calls f at once and then once each interval, until ctx ends (it returns ctx's error) or f fails (it returns f's
// error). Calls never overlap and never pile up: where f takes longer than the interval, the turns that it missed are
// left out. Each turn is shifted at random by up to a twentieth of the interval, so that many modules do not beat as
// one; over time the rhythm is kept.
func (a *Agent) Every(ctx context.Context, interval time.Duration, f func(ctx context.Context) error) error {
	if interval <= 0 {
		return fmt.Errorf("every %v: %w: the interval must be positive", interval, ErrInvalid)
	}
	start := time.Now()
	for turn := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err // also where the next turn is due at once, because f took long
		}
		if err := f(ctx); err != nil {
			return err
		}
		turn = max(turn, int64(time.Since(start)/interval)) + 1
		due := start.Add(time.Duration(turn)*interval + jitter(interval))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(due)):
		}
	}
}

// jitter returns a random shift of ±1/20 of interval.
func jitter(interval time.Duration) time.Duration {
	tenth := int64(interval / 10)
	if tenth == 0 {
		return 0
	}
	return time.Duration(rand.Int64N(tenth) - tenth/2)
}
