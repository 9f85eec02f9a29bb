package mailbox

import (
	"fmt"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// maxDead bounds the dead letters of a box; the oldest go. (So do they beyond Options.MaxBytes.)
const maxDead = 1000

// die counts a death of the message seq, if the reader has it in hand, and lets it go to the dead letters at MaxDeaths.
func (b *Box) die(seq uint64) {
	i, ok := b.queue.find(seq)
	if !ok || i >= b.fetched {
		return
	}
	e := b.queue.at(i)
	e.m.Deaths++
	stored := b.store.journal != nil && seq <= b.written
	if e.m.Deaths < b.store.opt.MaxDeaths {
		if stored {
			b.changes = append(b.changes, change{kindDeath, seq, e.m.Deaths})
		}
		b.touch(dirty)
		return
	}
	letter := *e
	letter.stored = stored
	b.queue.remove(i)
	b.fetched--
	b.bytes -= int64(letter.size)
	if stored {
		b.changes = append(b.changes, change{kindDead, seq, letter.m.Deaths})
	}
	b.bury(letter)
	b.touch(dirty)
	b.store.opt.Log.Warn("message went to the dead letters: the module died of it too often",
		"mailbox", b.name, "id", letter.m.ID, "from", letter.m.From, "deaths", letter.m.Deaths)
	b.makeRoom()
}

// bury adds a dead letter. The oldest make way where there are too many.
func (b *Box) bury(letter entry) {
	b.dead = append(b.dead, letter)
	b.deadBytes += int64(letter.size)
	for len(b.dead) > maxDead || b.deadBytes > b.store.opt.MaxBytes && len(b.dead) > 1 {
		oldest := b.exhume(0)
		b.store.opt.Log.Warn("dead letter was dropped: there are too many", "mailbox", b.name, "id", oldest.m.ID, "from", oldest.m.From)
	}
}

// exhume takes out dead letter i.
func (b *Box) exhume(i int) entry {
	letter := b.dead[i]
	b.dead = slices.Delete(b.dead, i, i+1)
	b.deadBytes -= int64(letter.size)
	if letter.stored {
		b.changes = append(b.changes, change{kind: kindDrop, seq: letter.m.Seq})
	}
	return letter
}

// Dead returns copies of the dead letters, oldest first. There are at most 1000, and at most Options.MaxBytes of them.
func (b *Box) Dead() []api.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages := make([]api.Message, len(b.dead))
	for i := range b.dead {
		messages[i] = b.dead[i].copy()
	}
	return messages
}

// Redeliver puts the dead letters with these IDs, or all when none is named, at the box's end again, with a new Seq and
// no deaths, and returns how many. They may go beyond the box's limits. An ID without a dead letter is api.ErrNotFound,
// and then nothing is done.
func (b *Box) Redeliver(ids ...string) (int, error) {
	return b.takeDead("redeliver", ids, func(letter entry) {
		letter.m.Deaths = 0
		b.push(&letter.m, letter.size)
		b.queue.at(b.queue.n - 1).stays = true
	})
}

// DropDead drops the dead letters with these IDs, or all when none is named, and returns how many. An ID without a dead
// letter is api.ErrNotFound, and then nothing is done.
func (b *Box) DropDead(ids ...string) (int, error) {
	return b.takeDead("drop", ids, func(entry) {})
}

// takeDead takes out the dead letters with these IDs and hands each to with.
func (b *Box) takeDead(verb string, ids []string, with func(entry)) (int, error) {
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return 0, fmt.Errorf("%s dead letters of mailbox %s: %w", verb, b.name, b.ended)
	}
	for _, id := range ids {
		if !slices.ContainsFunc(b.dead, func(e entry) bool { return e.m.ID == id }) {
			b.mu.Unlock()
			return 0, fmt.Errorf("%s dead letter %q of mailbox %s: %w", verb, id, b.name, api.ErrNotFound)
		}
	}
	taken := 0
	for i := 0; i < len(b.dead); {
		if len(ids) > 0 && !slices.Contains(ids, b.dead[i].m.ID) {
			i++
			continue
		}
		with(b.exhume(i))
		taken++
	}
	b.touch(dirty)
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
	return taken, nil
}
