package backend

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
)

// meter is a connection that lets a message begin only when there is room for all of it, and gives it the time that a
// request's body has, too: who holds one back holds the memory of what has come. Of what is read it looks at the heads of
// MQTT's packets or of a WebSocket's frames; the rest passes by.
//
// A message is held to be dealt with when more is asked for than it has: whoever reads must not ask before.
type meter struct {
	net.Conn
	in     *bufio.Reader
	parse  parser
	id     func() access.Identity // who speaks, asked between two messages
	intake *access.Intake
	here   bool        // it comes from this machine
	most   int64       // the size of the largest message that whoever reads keeps: of a larger one no more is counted
	told   func(error) // of messages for which there is no room, and of those that come too slowly

	done    <-chan struct{} // closed by Close
	closing func()
	small   atomic.Int64 // bytes of calls that are not counted

	// Of the goroutine that reads.
	hold    access.Hold
	left    int64     // bytes of the pieces at hand that are still to be read
	open    bool      // more pieces follow in the message
	since   time.Time // when the message began; what it has waited for room is not counted
	total   int64     // bytes of its pieces so far
	read    int64     // of those, read
	outer   time.Time // the deadline that whoever reads has set
	ours    bool      // the connection has another one
	unbound bool      // nothing more is looked at
}

// piece is an MQTT packet or a frame of a WebSocket.
type piece struct {
	bytes int64 // with its head
	last  bool  // of its message
	aside bool  // it may come between the pieces of a message and is none of them
}

// parser reads the head of a piece; ok is false where there is too little of it. Heads are of at least two bytes.
type parser func(head []byte) (p piece, ok bool, err error)

// newMeter completes a meter, which reads from there.
func newMeter(m *meter, from io.Reader) *meter {
	done := make(chan struct{})
	m.in, m.done, m.closing = bufio.NewReaderSize(from, 2<<10), done, sync.OnceFunc(func() { close(done) })
	return m
}

// Most is the size of the largest message.
func (m *meter) Most() int64 { return m.most }

// Admit implements link.Bounds: a call that came in the message that has just been read is kept until release. Of small
// ones a connection may have access.Small in all that are not counted.
func (m *meter) Admit(bytes int) (release func(), err error) {
	if m.small.Add(int64(bytes)) <= access.Small {
		return func() { m.small.Add(-int64(bytes)) }, nil
	}
	m.small.Add(-int64(bytes))
	part, ok := m.hold.Part(int64(bytes))
	if !ok {
		m.told(access.ErrCrowded)
		return nil, access.ErrCrowded
	}
	return part.Release, nil
}

// metered is a response whose connection, when it is taken over for a WebSocket, is a meter.
type metered struct {
	http.ResponseWriter
	*meter // without a connection before it is taken over
}

// Hijack implements http.Hijacker. What has been read ahead goes through the meter, too.
func (w *metered) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	ahead, err := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	w.meter.Conn = conn
	w.meter.in.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), conn))
	buffered.Reader.Reset(w.meter)
	return w.meter, buffered, nil
}

// Close implements net.Conn. What has been taken is given back by release.
func (m *meter) Close() error {
	m.closing()
	return m.Conn.Close()
}

// release is called when nothing of the connection is dealt with any more.
func (m *meter) release() { m.hold.Release() }

// SetReadDeadline implements net.Conn. A message that has begun has a deadline of its own.
func (m *meter) SetReadDeadline(t time.Time) error {
	m.outer, m.ours = t, false
	return m.Conn.SetReadDeadline(t)
}

// Read implements net.Conn.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.pass(p)
	if err != nil && m.ours && !time.Now().Before(dueAt(m.since, m.read)) {
		m.told(errLate)
	}
	return n, err
}

// pass reads, as far as it may.
func (m *meter) pass(p []byte) (int, error) {
	if m.left == 0 && !m.unbound {
		if err := m.next(); err != nil {
			return 0, err
		}
	}
	if m.unbound {
		return m.in.Read(p)
	}
	if m.in.Buffered() == 0 {
		if err := m.due(); err != nil {
			return 0, err
		}
	}
	n, err := m.in.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	m.read += int64(n)
	return n, err
}

// next begins the next piece, and with it the small messages behind it that have come already.
func (m *meter) next() error {
	between := !m.open
	if between {
		m.hold.Release()
		m.hold = m.intake.Hold(m.id(), m.here)
		m.total, m.read = 0, 0
		if m.ours {
			if err := m.SetReadDeadline(m.outer); err != nil {
				return err
			}
		}
		if m.unbound = m.hold.Free(); m.unbound {
			return nil
		}
	} else if err := m.due(); err != nil {
		return err
	}
	p, err := m.head()
	if err != nil {
		return err
	}
	began := time.Now()
	if between {
		m.since = began
	}
	if !p.aside {
		m.open = !p.last
	}
	m.left = p.bytes
	m.total += p.bytes
	if m.total > access.Small {
		if err := m.hold.Reach(m.done, min(m.total, m.most)); err != nil {
			m.told(err)
			return err
		}
		m.since = m.since.Add(time.Since(began))
		return nil
	}
	for !m.open {
		rest, _ := m.in.Peek(m.in.Buffered())
		if int64(len(rest)) <= m.left {
			break
		}
		p, ok, err := m.parse(rest[m.left:])
		if !ok || err != nil || !p.last || m.left+p.bytes > access.Small {
			break
		}
		m.left += p.bytes
	}
	return nil
}

// head waits for the head of a piece.
func (m *meter) head() (piece, error) {
	for n := 2; ; n++ {
		head, err := m.in.Peek(n)
		if err != nil {
			return piece{}, err
		}
		if p, ok, err := m.parse(head); ok || err != nil {
			return p, err
		}
	}
}

// due sets the deadline of a message that has begun. Those who have not said who they are have the one that they were given
// for that.
func (m *meter) due() error {
	if m.id() == (access.Identity{}) {
		return nil
	}
	m.ours = true
	return m.Conn.SetReadDeadline(dueAt(m.since, m.read))
}

var errHead = errors.New("the length of a packet or frame is malformed")

// packetHead is MQTT's (3.1.1, section 2.2).
func packetHead(head []byte) (p piece, ok bool, err error) {
	for i, digit := range head[min(len(head), 1):min(len(head), 5)] {
		p.bytes |= int64(digit&0x7f) << (7 * i)
		if digit&0x80 == 0 {
			p.bytes += int64(i) + 2
			p.last = true
			return p, true, nil
		}
	}
	if len(head) >= 5 {
		return piece{}, false, errHead
	}
	return piece{}, false, nil
}

// frameHead is a WebSocket's (RFC 6455, section 5.2).
func frameHead(head []byte) (p piece, ok bool, err error) {
	if len(head) < 2 {
		return piece{}, false, nil
	}
	size := 2
	length := uint64(head[1] & 0x7f)
	switch length {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if len(head) < size {
		return piece{}, false, nil
	}
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		length = binary.BigEndian.Uint64(head[2:])
	}
	if length > 1<<48 {
		return piece{}, false, errHead
	}
	if head[1]&0x80 != 0 {
		size += 4 // the mask
	}
	aside := head[0]&0x08 != 0
	return piece{bytes: int64(length) + int64(size), last: aside || head[0]&0x80 != 0, aside: aside}, true, nil
}
