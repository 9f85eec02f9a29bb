package access

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// mib is a size that an Intake counts.
const mib = 1 << 20

func user(name string) Identity { return Identity{name: name} }

// reach is Reach in a goroutine of its own; what it returns can be asked for.
func reach(h *Hold, done <-chan struct{}, bytes int64) (result <-chan error) {
	answer := make(chan error, 1)
	go func() { answer <- h.Reach(done, bytes) }()
	return answer
}

// answered tells what has become of a Reach; waiting: nothing yet.
func answered(result <-chan error) error {
	synctest.Wait()
	select {
	case err := <-result:
		return err
	default:
		return errWaits
	}
}

var errWaits = errors.New("it waits")

func TestIntake(t *testing.T) {
	type step struct {
		who   string
		bytes int64 // 0: gives back all
		want  error // of this step
		then  []int // steps that waited and are let in by this one
	}
	tests := []struct {
		name  string
		all   int64
		steps []step
	}{
		{"a user has a share, and waits in turn", 8 * mib, []step{
			{who: "a", bytes: 1 * mib}, {who: "b", bytes: 1 * mib}, {who: "a1", bytes: mib + 1, want: errWaits}, {who: "a2", bytes: mib, want: errWaits},
			{who: "b1", bytes: 1 * mib}, {who: "a", then: []int{2}}, {who: "a1", then: []int{3}},
		}},
		{"all users have a bound", 8 * mib, []step{
			{who: "a", bytes: 2 * mib}, {who: "b", bytes: 2 * mib}, {who: "c", bytes: 2 * mib}, {who: "d", bytes: 1 * mib},
			{who: "e", bytes: 2 * mib, want: errWaits}, {who: "f", bytes: 1 * mib}, {who: "g", bytes: 1 * mib, want: errWaits},
			{who: "a", then: []int{4}}, {who: "b", then: []int{6}},
		}},
		{"what is small is not counted", 4 * mib, []step{
			{who: "a", bytes: 1 * mib}, {who: "a1", bytes: Small}, {who: "a2", bytes: Small + 1, want: errWaits}, {who: "a", then: []int{2}},
		}},
		{"what never fits is refused at once", 4 * mib, []step{{who: "a", bytes: mib + 1, want: api.ErrTooLarge}, {who: "a", bytes: mib}}},
		{"a message that grows goes first", 8 * mib, []step{
			{who: "a", bytes: 1 * mib}, {who: "a1", bytes: mib / 2}, {who: "a2", bytes: mib, want: errWaits}, {who: "a", bytes: mib + mib/2},
			{who: "a", bytes: 2 * mib, want: errWaits}, {who: "a1", then: []int{4}}, {who: "a", then: []int{2}},
		}},
		{"strangers have one share", 4 * mib, []step{
			{who: "", bytes: mib}, {who: "1", bytes: mib, want: errWaits}, {who: "a", bytes: mib}, {who: "", then: []int{1}},
		}},
		{"the owner has all of it", 4 * mib, []step{{who: "owner", bytes: 4 * mib}, {who: "a", bytes: mib, want: errWaits}, {who: "owner", then: []int{1}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := NewIntake(Limits{InFlight: test.all})
				holds, waiting := map[string]*Hold{}, map[int]<-chan error{}
				for i, s := range test.steps {
					h := holds[s.who]
					if h == nil { // a digit behind the name is another connection of the same user
						id := user(s.who[:min(len(s.who), 1)])
						switch s.who {
						case "1":
							id = Identity{}
						case "owner":
							id = Owner()
						}
						made := in.Hold(id, false)
						h = &made
						holds[s.who] = h
					}
					if s.bytes == 0 {
						h.Release()
					} else {
						waiting[i] = reach(h, nil, s.bytes)
						if err := answered(waiting[i]); !errors.Is(err, s.want) {
							t.Fatalf("step %d: %v, want %v", i, err, s.want)
						}
						if s.want != errWaits {
							delete(waiting, i)
						}
					}
					for j, result := range waiting {
						if got := answered(result); got != errWaits {
							if got != nil || !slices.Contains(s.then, j) {
								t.Fatalf("step %d: step %d ends with %v", i, j, got)
							}
							delete(waiting, j)
							continue
						}
						if slices.Contains(s.then, j) {
							t.Fatalf("step %d: step %d still waits", i, j)
						}
					}
				}
				for _, h := range holds {
					h.Release()
				}
				for j, result := range waiting {
					if err := answered(result); err != nil {
						t.Errorf("step %d: %v in the end", j, err)
					}
				}
				for _, h := range holds {
					h.Release()
				}
				if in.taken != 0 || len(in.by) != 0 || len(in.waiting) != 0 {
					t.Errorf("%d bytes are taken in the end, by %v; %d wait", in.taken, in.by, len(in.waiting))
				}
			})
		})
	}
}

func TestIntakeWaitsNoLongerThanThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewIntake(Limits{InFlight: 4 * mib})
		first, second, third, last := in.Hold(user("a"), false), in.Hold(user("a"), false), in.Hold(user("a"), false), in.Hold(user("a"), false)
		if err := first.Reach(nil, mib/2); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		gone := make(chan struct{})
		long, leaving := reach(&second, nil, mib), reach(&third, gone, mib)
		if answered(long) != errWaits || answered(leaving) != errWaits {
			t.Fatal("there is no room, and it does not wait")
		}
		if bytes, n := in.Taken("a"); bytes != mib/2 || n != 2 {
			t.Errorf("%d bytes are taken, %d wait", bytes, n)
		}
		time.Sleep(time.Second)
		small := reach(&last, nil, mib/4) // fits, and waits behind those who came before
		if err := answered(small); err != errWaits {
			t.Errorf("it goes before others: %v", err)
		}
		close(gone)
		if err := answered(leaving); err != errEnded {
			t.Errorf("whoever has gone is told %v", err)
		}
		if err := <-long; err != ErrCrowded || time.Since(start) != patience {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := answered(small); err != nil {
			t.Errorf("nobody is before it any more: %v", err)
		}
	})
}

func TestPartsOfAMessage(t *testing.T) {
	in := NewIntake(Limits{InFlight: 4 * mib})
	h := in.Hold(user("a"), true)
	if err := h.Reach(nil, mib); err != nil {
		t.Fatal(err)
	}
	first, ok := h.Part(mib / 2)
	second, ok2 := h.Part(mib / 2)
	if _, third := h.Part(1); !ok || !ok2 || third {
		t.Error("its parts have not what the message has")
	}
	h.Release()
	if bytes, _ := in.Taken("a"); bytes != mib {
		t.Errorf("%d bytes are taken by two parts", bytes)
	}
	first.Release()
	small := in.Hold(user("a"), true)
	if err := small.Reach(nil, Small); err != nil {
		t.Fatal(err)
	}
	third, ok := small.Part(Small)
	if bytes, _ := in.Taken("a"); !ok || bytes != mib/2+Small {
		t.Errorf("%d bytes are taken: a part is counted though its message is small", bytes)
	}
	second.Release()
	third.Release()
	if bytes, _ := in.Taken("a"); bytes != 0 {
		t.Errorf("%d bytes are left", bytes)
	}
}

func TestTheOwnerHasNoBoundHere(t *testing.T) {
	in := NewIntake(Limits{InFlight: 4 * mib})
	h := in.Hold(Owner(), true)
	if err := h.Reach(nil, 1<<40); err != nil || !h.Free() || h.Most() < 1<<40 {
		t.Errorf("%v; the largest is %d", err, h.Most())
	}
	if part, ok := h.Part(1 << 40); !ok || !part.Free() {
		t.Error("a part is bounded")
	}
	h.Release()
}
