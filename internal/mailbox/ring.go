package mailbox

import (
	"sort"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// entry is a message in a box or among its dead letters.
type entry struct {
	m    api.Message
	size int
	// stays: the message was a dead letter; it must not vanish where the write of its return fails.
	stays bool
	// stored, of dead letters: the journal knows this message, by its Seq.
	stored bool
}

// ring is a queue of entries, in the order of their Seq. Its memory grows by doubling and is used again.
type ring struct {
	slots []entry // length: a power of two
	head  int
	n     int
}

func (q *ring) at(i int) *entry { return &q.slots[(q.head+i)&(len(q.slots)-1)] }

// push appends an empty entry and returns it, to be filled in place: an entry is too big to be copied around.
func (q *ring) push() *entry {
	if q.n == len(q.slots) {
		grown := make([]entry, max(8, 2*len(q.slots)))
		for i := range q.n {
			grown[i] = *q.at(i)
		}
		q.slots, q.head = grown, 0
	}
	q.n++
	return q.at(q.n - 1)
}

func (q *ring) pop() {
	*q.at(0) = entry{}
	q.head = (q.head + 1) & (len(q.slots) - 1)
	q.n--
}

// remove takes out entry i and closes the gap from the nearer end.
func (q *ring) remove(i int) {
	if i < q.n/2 {
		for ; i > 0; i-- {
			*q.at(i) = *q.at(i - 1)
		}
		q.pop()
		return
	}
	for ; i < q.n-1; i++ {
		*q.at(i) = *q.at(i + 1)
	}
	*q.at(q.n - 1) = entry{}
	q.n--
}

// after returns the index of the first entry whose Seq is greater than seq, or n.
func (q *ring) after(seq uint64) int {
	return sort.Search(q.n, func(i int) bool { return q.at(i).m.Seq > seq })
}

// find returns the index of the entry with that Seq.
func (q *ring) find(seq uint64) (int, bool) {
	i := q.after(seq) - 1
	return i, i >= 0 && q.at(i).m.Seq == seq
}

// insert puts e in its place by Seq. Only replay needs it: a message read again may come out of order.
func (q *ring) insert(e entry) {
	i := q.after(e.m.Seq)
	q.push()
	for k := q.n - 1; k > i; k-- {
		*q.at(k) = *q.at(k - 1)
	}
	*q.at(i) = e
}

// release gives back the memory of an empty ring that once was long.
func (q *ring) release() {
	if q.n == 0 && len(q.slots) > 64 {
		*q = ring{}
	}
}
