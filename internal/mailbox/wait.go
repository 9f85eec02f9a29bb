package mailbox

import (
	"context"
	"fmt"
)

// Wait waits until TryNext would return a message, or the reader or ctx ends. It fetches nothing: for those who only
// want to know that what was accepted can be taken.
func (r *Reader) Wait(ctx context.Context) error {
	b := r.box
	for {
		b.mu.Lock()
		err := r.ended
		if err == nil && b.ended != nil {
			err = fmt.Errorf("read mailbox %s: %w", b.name, b.ended)
		}
		if err != nil || b.readable() {
			// The token goes to whoever else waits on this reader, which may not be the box's reader any more.
			others := r.waiting > 0
			b.mu.Unlock()
			if others {
				notify(r)
			}
			return err
		}
		r.waiting++
		b.mu.Unlock()
		select {
		case <-r.ready:
		case <-ctx.Done():
			err = ctx.Err()
		}
		b.mu.Lock()
		r.waiting--
		b.mu.Unlock()
		if err != nil {
			return err
		}
	}
}
