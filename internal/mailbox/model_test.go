package mailbox

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// model is a mailbox as its contract has it, without regard to speed or disks.
type model struct {
	waiting, dead []modelMessage
	fetched       int
	begun         string
	begunSeq      uint64
	seqs          map[string]uint64 // of the messages fetched
	put           map[string]bool
}

type modelMessage struct {
	id     string
	deaths int
	topic  bool
}

const (
	modelLimit  = 12
	modelDeaths = 3
)

func (m *model) find(id string) int {
	return slices.IndexFunc(m.waiting, func(e modelMessage) bool { return e.id == id })
}

func (m *model) reset() { m.fetched, m.begun, m.begunSeq = 0, "", 0 }

func (m *model) died() {
	i := m.find(m.begun)
	if i < 0 || i >= m.fetched {
		return
	}
	m.waiting[i].deaths++
	if m.waiting[i].deaths == modelDeaths {
		m.dead = append(m.dead, m.waiting[i])
		m.waiting = slices.Delete(m.waiting, i, i+1)
	}
}

func (m *model) overwrite(id string) {
	if len(m.waiting) == modelLimit {
		oldest := slices.IndexFunc(m.waiting[m.fetched:], func(e modelMessage) bool { return e.topic })
		if oldest < 0 {
			return
		}
		m.waiting = slices.Delete(m.waiting, m.fetched+oldest, m.fetched+oldest+1)
	}
	m.waiting = append(m.waiting, modelMessage{id: id, topic: true})
	m.put[id] = true
}

func describe(messages []modelMessage) (all []api.Message) {
	for _, m := range messages {
		all = append(all, api.Message{ID: m.id, Deaths: m.deaths})
	}
	return all
}

// TestAgainstAModel does the same random things to boxes and to models of them, and reopens the store in between.
func TestAgainstAModel(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 99))
			path := filepath.Join(t.TempDir(), "journal")
			// Flush as fast as can be, or only when asked: what is on disk at a step differs.
			opt := Options{Durable: seed%4 == 3, Limit: modelLimit, MaxDeaths: modelDeaths, FlushInterval: []time.Duration{time.Microsecond, time.Hour}[seed%2]}
			s := mustOpen(t, path, opt)
			names := []string{"a", "b", "c"}
			models := map[string]*model{}
			readers := map[string]*Reader{}
			for _, name := range names {
				models[name] = &model{put: map[string]bool{}, seqs: map[string]uint64{}}
				readers[name] = s.Box(name).Open()
			}
			steps := 3000
			if opt.Durable {
				steps = 500
			}
			for step := range steps {
				name := names[random.IntN(len(names))]
				b, r, m := s.Box(name), readers[name], models[name]
				id := fmt.Sprint(step)
				did := ""
				switch n := random.IntN(100); {
				case n < 30:
					did = "put"
					if len(m.waiting) < modelLimit {
						mustPut(t, b, id)
						m.waiting = append(m.waiting, modelMessage{id: id})
						m.put[id] = true
					}
				case n < 35:
					did = "put overwriting"
					b.PutOverwriting(api.Message{ID: id, Topic: "t"})
					m.overwrite(id)
				case n < 40:
					did = "put resent"
					id = fmt.Sprint(max(0, step-random.IntN(50)))
					if m.put[id] || len(m.waiting) < modelLimit {
						if _, err := b.PutResent(t.Context(), api.Message{ID: id}); err != nil {
							t.Fatal(err)
						}
						if !m.put[id] {
							m.waiting = append(m.waiting, modelMessage{id: id})
							m.put[id] = true
						}
					}
				case n < 62:
					did = "next"
					if m.fetched < len(m.waiting) {
						got := mustNext(t, r, m.waiting[m.fetched].id)
						m.fetched++
						m.seqs[got.ID] = got.Seq
						if random.IntN(2) == 0 {
							r.Begin(got.Seq)
							m.begun, m.begunSeq = got.ID, got.Seq
						}
					}
				case n < 80:
					did = "ack"
					if m.fetched > 0 {
						k := random.IntN(m.fetched)
						r.Ack(m.seqs[m.waiting[k].id])
						m.waiting = m.waiting[k+1:]
						m.fetched -= k + 1
					}
				case n < 88:
					outcome := []api.Outcome{api.Finished, api.Stopped, api.Died, api.Died, api.Died}[random.IntN(5)]
					did = "close " + string(outcome)
					r.Close(outcome)
					switch outcome {
					case api.Died:
						m.died()
					case api.Finished:
						if i := m.find(m.begun); i >= 0 && i < m.fetched {
							m.waiting = m.waiting[i+1:]
						} else if seq := m.begunSeq; seq > 0 {
							for m.fetched > 0 && m.seqs[m.waiting[0].id] <= seq {
								m.waiting, m.fetched = m.waiting[1:], m.fetched-1
							}
						}
					}
					m.reset()
					readers[name] = b.Open()
				case n < 90:
					did = "take over"
					readers[name] = b.Open()
					m.reset()
				case n < 92:
					did = "resume"
					if m.fetched > 0 {
						k := random.IntN(m.fetched)
						id := m.waiting[k].id
						readers[name] = b.Resume(m.seqs[id])
						m.waiting, m.fetched, m.begun, m.begunSeq = m.waiting[k:], 1, id, m.seqs[id]
					}
				case n < 94:
					did = "redeliver"
					if _, err := b.Redeliver(); err != nil {
						t.Fatal(err)
					}
					for _, d := range m.dead {
						m.waiting = append(m.waiting, modelMessage{id: d.id, topic: d.topic})
					}
					m.dead = nil
					if len(m.waiting) > modelLimit { // the model knows no box that is beyond its limit
						for m.fetched < len(m.waiting) {
							m.seqs[m.waiting[m.fetched].id] = mustNext(t, r, m.waiting[m.fetched].id).Seq
							m.fetched++
						}
						r.Ack(m.seqs[m.waiting[len(m.waiting)-1].id])
						m.waiting, m.fetched = nil, 0
					}
				case n < 95:
					did = "drop dead"
					if len(m.dead) > 0 {
						if _, err := b.DropDead(m.dead[0].id); err != nil {
							t.Fatal(err)
						}
						m.dead = m.dead[1:]
					}
				case n < 96:
					did = "sync"
					mustSync(t, s)
				case n < 97:
					did = "remove"
					if err := s.Remove(name); err != nil {
						t.Fatal(err)
					}
					models[name] = &model{put: map[string]bool{}, seqs: map[string]uint64{}}
					readers[name] = s.Box(name).Open()
				default:
					did = "reopen"
					if random.IntN(2) == 0 {
						mustSync(t, s)
						crashed := filepath.Join(t.TempDir(), "journal") // as after a kill
						write(t, crashed, read(t, path))
						mustClose(t, s)
						path = crashed
						for _, m := range models { // only what waits is still known for sure
							m.put = map[string]bool{}
							for _, w := range append(slices.Clone(m.waiting), m.dead...) {
								m.put[w.id] = true
							}
						}
						s = mustOpen(t, path, opt)
						for name, m := range models { // IDs of the past may be known or not
							b := s.Box(name)
							b.recent, b.recentAt = nil, 0
							for id := range m.put {
								b.remember(id)
							}
						}
					} else {
						mustClose(t, s)
						s = mustOpen(t, path, opt)
					}
					for name, m := range models {
						readers[name] = s.Box(name).Open()
						m.reset()
					}
				}
				for name, m := range models {
					b := s.Box(name)
					what := fmt.Sprintf("step %d (%s), box %s", step, did, name)
					wantIDs(t, what+" waiting", b.Waiting(), ids(describe(m.waiting)))
					wantIDs(t, what+" dead", b.Dead(), ids(describe(m.dead)))
					if b.Pending() != len(m.waiting)-m.fetched {
						t.Fatalf("%s: pending %d, want %d", what, b.Pending(), len(m.waiting)-m.fetched)
					}
				}
			}
		})
	}
}
