package llm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	tries     = 4                      // in all
	firstWait = 500 * time.Millisecond // before the second try; doubles with each
	mostWait  = time.Minute            // a server that asks for more is believed and not asked again
)

// try asks until there is an answer, or an error that another try would not mend.
func (c *Client) try(ctx context.Context, body []byte, onPiece func(string) error) (Reply, error) {
	var (
		handed   bool  // a piece is with the caller: no second try, or it would get the beginning twice
		declined error // the caller's own error
		hand     func(string) error
	)
	if onPiece != nil {
		hand = func(piece string) error {
			handed = true
			declined = onPiece(piece)
			return declined
		}
	}
	for n := 1; ; n++ {
		reply, err := c.attempt(ctx, body, hand)
		switch {
		case err == nil:
			return reply, nil
		case declined != nil:
			return reply, declined
		case ctx.Err() != nil:
			return reply, fmt.Errorf("ask %s: %w", c, ctx.Err())
		}
		wait, worth := pause(err, n)
		if handed || !worth || n == tries || !fits(ctx, wait) {
			return reply, c.explain(err, n)
		}
		if err := c.wait(ctx, wait); err != nil {
			return reply, fmt.Errorf("ask %s: %w", c, err)
		}
	}
}

// pause says whether another try after the nth is worth it, and how long to wait before.
func pause(err error, n int) (wait time.Duration, worth bool) {
	wait = firstWait << (n - 1)
	wait += time.Duration(rand.Int64N(int64(wait)/2)) - wait/4 // ±25 %, so that modules do not come back all at once
	var refusal *Error
	if errors.As(err, &refusal) {
		wait = max(wait, refusal.retryAfter)
		return wait, passing(refusal) && wait <= mostWait
	}
	var lost *unreachable
	return wait, errors.As(err, &lost)
}

// passing tells whether the same request may well be answered a little later.
func passing(e *Error) bool {
	switch e.Status {
	case http.StatusTooManyRequests:
		return e.Code != "insufficient_quota"
	case http.StatusRequestTimeout:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.Status >= http.StatusInternalServerError
}

// fits tells whether ctx lasts longer than wait: if it does not, waiting would only hide the real error.
func fits(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

// explain adds to err who was asked, how often, and what to look at.
func (c *Client) explain(err error, tries int) error {
	asked := c.String()
	if tries > 1 {
		asked = fmt.Sprintf("%s, %d times", asked, tries)
	}
	var lost *unreachable
	if errors.As(err, &lost) && !errors.Is(err, errCut) {
		return fmt.Errorf("ask %s: %w (is the server running, and OPENAI_BASE_URL right?)", asked, err)
	}
	return fmt.Errorf("ask %s: %w", asked, err)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
