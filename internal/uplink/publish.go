package uplink

import (
	"context"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// window is how many publications may be under way, sent and not acknowledged. Beyond it senders wait.
const window = 256

// publishing is a publication on its way.
type publishing struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
	ctx     context.Context // whoever waits for it; when it ends, it is not sent again
	done    chan error      // has room for the one answer
	token   mqtt.Token
}

func (p *publishing) finish(err error) { p.done <- err }

// Publish publishes, and returns when the broker has acknowledged it, or, at QoS 0, when it is written to the connection.
// While the broker is away, QoS 0 is ErrAway at once; the others wait for it until ctx ends. What was under way when the
// connection was lost is published again, and may so arrive twice, at QoS 2 too. A client with a session publishes with
// QoS 1 where 2 is asked for: half of a QoS 2 exchange that an earlier process has left behind would swallow a message.
func (c *Client) Publish(ctx context.Context, topic string, payload []byte, qos byte, retain bool) error {
	done, err := c.Post(ctx, topic, payload, qos, retain)
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("publish to %s: %w", topic, ctx.Err())
	}
}

// Post is Publish that does not wait for the acknowledgement: the channel tells how it went. Publications that one
// goroutine posts are sent in that order, as are those that are sent again. It waits while too many are under way.
func (c *Client) Post(ctx context.Context, topic string, payload []byte, qos byte, retain bool) (<-chan error, error) {
	if !c.opt.Clean {
		qos = min(qos, 1)
	}
	p := &publishing{topic: topic, payload: payload, qos: qos, retain: retain, ctx: ctx, done: make(chan error, 1)}
	var lost chan struct{} // blocks for ever where p may wait
	if qos == 0 {
		c.mu.Lock()
		l := c.link
		c.mu.Unlock()
		if l == nil {
			return nil, fmt.Errorf("publish to %s: %w", topic, ErrAway)
		}
		lost = l.lost
	}
	select {
	case c.queue <- p:
		return p.done, nil
	case <-lost:
		return nil, fmt.Errorf("publish to %s: %w", topic, ErrAway)
	case <-ctx.Done():
		return nil, fmt.Errorf("publish to %s: %w", topic, ctx.Err())
	case <-c.ended:
		return nil, fmt.Errorf("publish to %s: %w", topic, api.ErrClosed)
	}
}

// pipe is what is under way on one connection, in order. One goroutine sends; the pipe's own waits for acknowledgements.
type pipe struct {
	link    *link
	sent    chan *publishing
	left    []*publishing // not acknowledged when the connection was lost; the waiting goroutine's until it has ended
	unheard []*publishing // the same, of which it knows
	waiting sync.WaitGroup
}

func newPipe(l *link) *pipe {
	p := &pipe{link: l, sent: make(chan *publishing, window)}
	p.waiting.Go(p.confirm)
	return p
}

// send writes a publication to the connection, and waits while too many are under way. It is to be sent again where there
// is an error: the connection is lost, or life has ended.
func (p *pipe) send(life context.Context, it *publishing) error {
	if it.ctx.Err() != nil {
		it.finish(it.ctx.Err()) // nobody waits for it
		return nil
	}
	select {
	case <-p.link.lost:
		p.left = append(p.left, it)
		return p.link.err
	default:
	}
	it.token = p.link.paho.Publish(it.topic, it.qos, it.retain, it.payload)
	select {
	case p.sent <- it:
		return nil
	case <-p.link.lost:
		p.left = append(p.left, it)
		return p.link.err
	case <-life.Done():
		p.left = append(p.left, it)
		return errClosed
	}
}

// confirm waits for the acknowledgements in the order of sending: no order is promised for them by the broker, but they
// come in it.
func (p *pipe) confirm() {
	for it := range p.sent {
		select {
		case <-it.token.Done():
		case <-p.link.lost:
			select {
			case <-it.token.Done():
			default:
				p.unheard = append(p.unheard, it)
				continue
			}
		}
		if err := it.token.Error(); err != nil { // it could not be written: the connection is as good as lost
			p.link.lose(err)
			p.unheard = append(p.unheard, it)
			continue
		}
		it.finish(nil)
	}
}

// drain waits a while for what is under way.
func (p *pipe) drain(patience time.Duration) {
	late := time.AfterFunc(patience, func() { p.link.lose(errClosed) })
	defer late.Stop()
	if p.sent != nil {
		close(p.sent)
		p.waiting.Wait()
		p.sent = nil
	}
}

// close returns what has to be published again, in order. The connection has been lost.
func (p *pipe) close() []*publishing {
	if p.sent != nil {
		close(p.sent)
		p.waiting.Wait()
	}
	var again []*publishing
	for _, it := range append(p.unheard, p.left...) {
		if it.qos == 0 {
			it.finish(fmt.Errorf("publish to %s: %w", it.topic, ErrAway))
			continue
		}
		again = append(again, it)
	}
	return again
}
