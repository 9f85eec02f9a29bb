package backend

import (
	"sync"
	"sync/atomic"

	"github.com/concurrent-modular-agent/coma/internal/access"
)

// quota bounds what MQTT clients can make the broker keep in memory: messages that they leave at a topic, and messages that
// wait for those who do not acknowledge them or are away.
type quota struct {
	limits access.Limits

	mu       sync.Mutex
	retained map[string]int // bytes by topic, of what clients have left there
	bytes    int64          // of all of retained

	waiting atomic.Int64 // bytes of the messages that all clients hold
}

func newQuota(limits access.Limits) *quota {
	return &quota{limits: limits, retained: map[string]int{}}
}

// room reports whether a client may leave a message of that many bytes at a topic.
func (q *quota) room(topic string, bytes int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	old, there := q.retained[topic]
	return bytes == 0 || (there || len(q.retained) < q.limits.Retained) && q.bytes+int64(bytes-old) <= q.limits.RetainedBytes
}

// left notes that a message is left at a topic, or none any more.
func (q *quota) left(topic string, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= int64(q.retained[topic])
	delete(q.retained, topic)
	if bytes > 0 {
		q.retained[topic] = bytes
		q.bytes += int64(bytes)
	}
}

// held is the messages that one client has not acknowledged, by packet ID.
type held struct {
	sizes map[uint16]int // under quota.mu
	bytes atomic.Int64
}

// share is the part of the room that one client may take alone.
const share = 4

// full reports whether nothing more may be held for a client. It is asked for each message that is to reach one.
func (q *quota) full(h *held) bool {
	bytes := h.bytes.Load()
	return bytes > 0 && (q.waiting.Load() >= q.limits.SessionBytes || bytes >= q.limits.SessionBytes/share)
}

func (q *quota) hold(h *held, packet uint16, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if h.sizes == nil {
		h.sizes = map[uint16]int{}
	}
	q.add(h, int64(bytes-h.sizes[packet]))
	h.sizes[packet] = bytes
}

func (q *quota) drop(h *held, packet uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(h, -int64(h.sizes[packet]))
	delete(h.sizes, packet)
}

// dropAll forgets a client.
func (q *quota) dropAll(h *held) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(h, -h.bytes.Load())
	h.sizes = nil
}

// add is called with mu held.
func (q *quota) add(h *held, bytes int64) {
	h.bytes.Add(bytes)
	q.waiting.Add(bytes)
}
