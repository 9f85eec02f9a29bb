// Package uplink is a connection to an MQTT broker that runs elsewhere, by Eclipse Paho's client for MQTT 3.1.1. It comes
// back by itself, and nothing that was handed to it goes missing in silence: what was not acknowledged is published again,
// what was not finished with is asked for again, and what cannot be sent is an error.
//
// uplink.go opens, closes and renews the connection; address.go reads a broker's URL and opens the way to it; publish.go
// sends, subscribe.go has who hears what, copies.go what was heard already,
// receipt.go what has arrived and is not acknowledged yet.
//
// One Paho client lives as long as one connection. (Paho's own reconnection tells the first sender of a message that it
// was acknowledged when it is merely sent again.)
package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Options say which broker, and how.
type Options struct {
	URL string // as Check says
	// User and Password are given to the broker instead of those in URL.
	User, Password string
	// CA is a file of certificates (PEM) that the broker's must descend from; "": the system's. Cert and Key are the client's
	// own, for a broker that asks for one.
	CA, Cert, Key string

	// ClientID names the client, and its session: what arrives at the broker for its subscriptions while it is away is kept
	// for it. With Clean there is no session: what is published meanwhile is missed.
	ClientID string
	Clean    bool

	// The broker publishes Will, retained, at WillTopic when the client has gone without a word; "": nothing.
	WillTopic string
	Will      []byte

	// Unasked takes what the session brings for subscriptions of an earlier life, which nobody here has made (yet), and
	// reports whether it has; it then calls Done. What it does not take waits for a subscription. Like a handler it must
	// not block. nil: takes nothing.
	Unasked func(Message) bool
	// Changed is told each change of the state, in order; it must not block, nor call the client other than in a new
	// goroutine. nil: nobody is.
	Changed func(State)
	Log     *slog.Logger // nil: discarded
}

// State is how it stands with the connection.
type State struct {
	Connected bool
	Since     time.Time // when it came, or went
	Err       error     // why there is none
	// QoS is the lowest quality of service that the broker has granted where more was asked for; 2 if there was no such case.
	QoS byte
}

// ErrAway is the answer to what cannot wait for the broker to be back.
var ErrAway = errors.New("the broker is away")

// Client is a connection to a broker. It is safe for concurrent use.
type Client struct {
	opt    Options
	server *url.URL // without user and password
	tls    *tls.Config

	stop  context.CancelFunc
	ended chan struct{}

	queue chan *publishing // what is to be published, while there is a connection
	wake  chan struct{}    // that tasks has something

	asking sync.WaitGroup // waits for answers to SUBSCRIBEs

	order sync.Mutex // held while handlers are called

	mu       sync.Mutex // taken after order
	state    State
	link     *link // the connection; nil while there is none
	tasks    []*task
	subs     subscriptions
	receipts receipts
	orphans  []*receipt // arrived before anybody has subscribed
	copies   copies
	probing  string        // what begins the topics of a probe that is under way
	probed   chan<- string // takes what is behind it
}

// Times and sizes of the connection.
const (
	keepAlive    = 15 * time.Second
	patience     = 10 * time.Second // for a connection, and for an answer to a SUBSCRIBE
	hurry        = 3 * time.Second  // for the first connection: somebody waits for the program to start
	firstDelay   = 100 * time.Millisecond
	longestDelay = 30 * time.Second
	lasting      = 10 * time.Second // a connection that held that long is renewed at once when it is lost
	farewell     = time.Second      // for what is under way when the client is closed
	suspicious   = 3                // connections in succession that did not hold that long: another client ends them
)

// Open connects. A broker that is away is no error: the client goes on trying until Close. What trying again cannot mend
// is one: a URL, a file or a password that is wrong, a certificate that is not the broker's.
func Open(ctx context.Context, opt Options) (*Client, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	server, user, err := parse(opt.URL)
	if err != nil {
		return nil, err
	}
	if opt.User == "" && user != nil {
		opt.User = user.Username()
		opt.Password, _ = user.Password()
	}
	opt.URL = "" // it may hold a password
	config, err := tlsConfig(server, opt)
	if err != nil {
		return nil, err
	}
	c := &Client{
		opt: opt, server: server, tls: config, ended: make(chan struct{}), queue: make(chan *publishing), wake: make(chan struct{}, 1),
		state: State{Since: time.Now(), QoS: 2}, subs: newSubscriptions(), receipts: newReceipts(), copies: newCopies(),
	}
	life, stop := context.WithCancel(context.Background())
	c.stop = stop
	soon, cancel := context.WithTimeout(ctx, hurry)
	defer cancel()
	first, err := c.connect(soon)
	if final(err) || err != nil && ctx.Err() != nil {
		stop()
		return nil, err
	}
	if err != nil {
		c.lose(err)
	}
	go c.run(life, first, err)
	if err == nil {
		select {
		case <-first.ready:
		case <-first.lost:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), c.Close())
		}
	}
	return c, nil
}

// Close ends the connection; what waits to be published is api.ErrClosed. Messages that nobody is done with stay in the
// broker's session.
func (c *Client) Close() error {
	c.stop()
	<-c.ended
	return nil
}

// State returns how it stands with the connection.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Address is the broker's URL without user and password.
func (c *Client) Address() string { return c.server.String() }

// run keeps the connection up. It begins with l, or with the error that there is in its place.
func (c *Client) run(life context.Context, l *link, err error) {
	defer close(c.ended)
	defer c.asking.Wait()
	var again []*publishing // what the lost connection has not seen acknowledged
	delay, short := firstDelay, 0
	for life.Err() == nil {
		if err == nil {
			began := time.Now()
			again, err = c.serve(life, l, again)
			if time.Since(began) > lasting {
				short = 0
			} else if short++; short >= suspicious {
				err = fmt.Errorf("%w soon after it was made, time after time: another client there has this one's name, %s, perhaps (give each host a name of its own: COMA_HOST)", err, c.opt.ClientID)
			}
			c.lose(err)
			if time.Since(began) > lasting {
				delay = firstDelay
				l, err = c.connect(life)
				continue
			}
		} else {
			c.lose(err)
		}
		select {
		case <-time.After(delay/2 + rand.N(delay)):
		case <-life.Done():
		}
		delay = min(2*delay, longestDelay)
		if life.Err() == nil {
			l, err = c.connect(life)
		}
	}
	if l != nil && err == nil { // made just as the client was closed
		l.paho.Disconnect(uint(farewell / time.Millisecond))
	}
	for _, p := range again {
		p.finish(fmt.Errorf("publish to %s: %w", p.topic, api.ErrClosed))
	}
}

// link is one connection.
type link struct {
	paho  mqtt.Client
	ready chan struct{} // closed when the subscriptions are made
	lost  chan struct{} // closed when it is lost
	once  sync.Once
	err   error // why; to be read after lost is closed
	had   bool  // the broker has kept the session
}

func (l *link) lose(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.lost)
	})
}

// connect makes one try.
func (c *Client) connect(ctx context.Context) (*link, error) {
	l := &link{ready: make(chan struct{}), lost: make(chan struct{})}
	var seen *watched
	unwatch := func() bool { return true }
	opt := mqtt.NewClientOptions().SetClientID(c.opt.ClientID).SetCleanSession(c.opt.Clean).SetProtocolVersion(4).
		SetUsername(c.opt.User).SetPassword(c.opt.Password).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(patience).SetKeepAlive(keepAlive).SetPingTimeout(keepAlive / 2).
		SetWriteTimeout(keepAlive).SetOrderMatters(true).SetAutoAckDisabled(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.arrive(l, m) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.lose(plain(err)) }).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (conn netConn, err error) {
			if seen, err = c.dial(ctx); err != nil {
				return nil, err
			}
			unwatch = context.AfterFunc(ctx, func() { seen.Conn.Close() })
			return seen, nil
		})
	opt.Servers = []*url.URL{c.server}
	if c.opt.WillTopic != "" {
		opt.SetBinaryWill(c.opt.WillTopic, c.opt.Will, 1, true)
	}
	l.paho = mqtt.NewClient(opt)
	token := l.paho.Connect().(*mqtt.ConnectToken)
	<-token.Done()
	unwatch()
	if err := token.Error(); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.server.Host, explain(err, seen))
	}
	l.had = token.SessionPresent()
	return l, nil
}

// serve uses a connection until it is lost or the client is closed. It returns why it ended, and what was published and
// not acknowledged.
func (c *Client) serve(life context.Context, l *link, again []*publishing) ([]*publishing, error) {
	if !l.had {
		c.mu.Lock()
		c.receipts.forget()
		c.mu.Unlock()
	}
	pipe := newPipe(l)
	var err error
	if c.opt.Clean { // in a session, where no two subscriptions match one topic, nothing may be swallowed by mistake
		err = c.probe(l)
	}
	if err == nil {
		err = c.renew(l)
	}
	if err == nil {
		c.found(l)
		err = c.work(life, l, pipe, again)
	} else {
		pipe.left = again
	}
	if life.Err() != nil {
		pipe.drain(farewell)
	}
	l.lose(err)
	l.paho.Disconnect(uint(farewell / time.Millisecond))
	return pipe.close(), err
}

// work does what it is asked to until the connection is lost or the client closed.
func (c *Client) work(life context.Context, l *link, pipe *pipe, again []*publishing) error {
	for i, p := range again {
		if err := pipe.send(life, p); err != nil {
			pipe.left = append(pipe.left, again[i+1:]...)
			return err
		}
	}
	for {
		select {
		case p := <-c.queue:
			if err := pipe.send(life, p); err != nil {
				return err
			}
		case <-c.wake:
			c.perform(l)
		case <-l.lost:
			return l.err
		case <-life.Done():
			return errClosed
		}
	}
}

var errClosed = fmt.Errorf("connection to the broker: %w", api.ErrClosed)

// found notes that there is a connection.
func (c *Client) found(l *link) {
	c.mu.Lock()
	c.link = l
	c.state.Connected, c.state.Since, c.state.Err = true, time.Now(), nil
	state := c.state
	c.mu.Unlock()
	close(l.ready)
	if c.opt.Changed != nil {
		c.opt.Changed(state)
	}
}

// lose notes that there is none.
func (c *Client) lose(err error) {
	c.mu.Lock()
	if c.state.Connected || c.state.Err == nil {
		c.state.Since = time.Now()
	}
	changed := c.state.Connected || c.state.Err == nil || c.state.Err.Error() != err.Error()
	c.link = nil
	c.state.Connected, c.state.Err = false, err
	state := c.state
	c.mu.Unlock()
	if changed && c.opt.Changed != nil {
		c.opt.Changed(state)
	}
}
