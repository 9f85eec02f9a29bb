package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// disk hands out real files on a device that can be full, refuse to fsync, or to truncate.
type disk struct {
	mu         sync.Mutex
	room       int64 // bytes that can still be written; negative: any number
	noSync     bool
	noTruncate bool
	wrote      func([]byte) // called after each write
	synced     func()       // called after each fsync
}

func (d *disk) open(path string, flag int) (file, error) {
	f, err := openFile(path, flag)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

func (d *disk) set(change func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

type diskFile struct {
	file
	disk *disk
}

func (f *diskFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.wrote != nil {
		defer f.disk.wrote(p)
	}
	if f.disk.room < 0 {
		return f.file.WriteAt(p, at)
	}
	fits := min(int64(len(p)), f.disk.room)
	n, err := f.file.WriteAt(p[:fits], at)
	f.disk.room -= int64(n)
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *diskFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.noSync {
		return syscall.EIO
	}
	err := f.file.Sync()
	if f.disk.synced != nil {
		f.disk.synced()
	}
	return err
}

func (f *diskFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.noTruncate {
		return syscall.EIO
	}
	return f.file.Truncate(size)
}

// TestFullDisk fills the disk after n bytes, for every n that matters, and then makes room.
func TestFullDisk(t *testing.T) {
	for _, durable := range []bool{false, true} {
		for _, noTruncate := range []bool{false, true} {
			for room := int64(0); room < 200; room += 7 {
				t.Run(fmt.Sprintf("durable=%v/truncate=%v/room=%d", durable, !noTruncate, room), func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "journal")
					d := &disk{room: -1}
					s, _, err := open(path, Options{Durable: durable, MaxDeaths: 1, FlushInterval: time.Millisecond}, d.open)
					if err != nil {
						t.Fatal(err)
					}
					b := s.Box("a/chat")
					mustPut(t, b, "1", "2")
					mustSync(t, s)
					d.set(func(d *disk) { d.room, d.noTruncate = room, noTruncate })

					want := "2"
					refused := 0
					for _, id := range []string{"3", "4", "5", "6", "7"} {
						_, err := b.Put(t.Context(), api.Message{ID: id, Text: "some text that takes room"})
						switch {
						case err == nil:
							want += " " + id
						case !durable || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO):
							t.Fatalf("Put: %v", err)
						default:
							refused++
						}
					}
					if durable && refused == 0 {
						t.Fatal("the disk was never full")
					}
					r := b.Open()
					r.Begin(mustNext(t, r, "1").Seq)
					r.Close(api.Died) // dead while the disk is full
					if err := s.Sync(); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO) {
						t.Fatalf("Sync on a full disk: %v", err)
					}
					if s.Err() == nil {
						t.Fatal("Err says nothing of a full disk")
					}
					wantIDs(t, "on a full disk", b.Waiting(), want)

					d.set(func(d *disk) { d.room, d.noTruncate = -1, false })
					mustSync(t, s)
					if err := s.Err(); err != nil {
						t.Fatalf("Err after room was made: %v", err)
					}
					if _, err := b.PutResent(t.Context(), api.Message{ID: "7"}); err != nil {
						t.Fatal(err)
					}
					if durable {
						want += " 7"
					}
					wantIDs(t, "with room again", b.Waiting(), want)
					before := state(s)
					mustClose(t, s)
					s = mustOpen(t, path, Options{})
					if after := state(s); after != before {
						t.Fatalf("read back\n%s\nwant\n%s", after, before)
					}
					wantIDs(t, "dead", s.Box("a/chat").Dead(), "1†1")
				})
			}
		}
	}
}

// After a failed fsync nothing that was written before can be trusted to be on disk: the journal must be written anew.
func TestFailedFsync(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			d := &disk{room: -1}
			s, _, err := open(path, Options{Durable: durable, FlushInterval: time.Millisecond}, d.open)
			if err != nil {
				t.Fatal(err)
			}
			b := s.Box("a/chat")
			mustPut(t, b, "1")
			mustSync(t, s)
			d.set(func(d *disk) { d.noSync = true })
			want := "1 2 3"
			for _, id := range []string{"2", "3"} {
				if _, err := b.Put(t.Context(), api.Message{ID: id}); (err != nil) != durable {
					t.Fatalf("Put: %v", err)
				}
				if err := s.Sync(); !errors.Is(err, syscall.EIO) {
					t.Fatalf("Sync: %v", err)
				}
			}
			if durable {
				want = "1"
			}
			if r := b.Open(); true {
				mustNext(t, r, "1")
				if _, ok, err := r.TryNext(); ok == durable || err != nil {
					t.Fatalf("a refused message was delivered: %v, %v", ok, err)
				}
			}
			wantIDs(t, "while it fails", b.Waiting(), want)
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			d.set(func(d *disk) { d.noSync = false })
			mustSync(t, s)
			if after, err := os.Stat(path); err != nil || os.SameFile(before, after) {
				t.Fatalf("the journal was not written anew (%v)", err)
			}
			if err := s.Err(); err != nil {
				t.Fatal(err)
			}
			mustPut(t, b, "4")
			mustClose(t, s)
			s = mustOpen(t, path, Options{})
			wantIDs(t, "read back", s.Box("a/chat").Waiting(), want+" 4")
		})
	}
}

// A disk that stays full until the end is told by Close, and what is on disk is sound.
func TestCloseTellsWhatIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	d := &disk{room: -1}
	s, _, err := open(path, Options{}, d.open)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Box("a/chat")
	mustPut(t, b, "1")
	mustSync(t, s)
	d.set(func(d *disk) { d.room = 10 })
	mustPut(t, b, "2")
	if err := s.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Close: %v", err)
	}
	s = mustOpen(t, path, Options{})
	wantIDs(t, "read back", s.Box("a/chat").Waiting(), "1")
}

// Redelivered dead letters were accepted long ago: a durable store must not refuse them with what is new.
func TestRedeliveredLettersOutliveAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	d := &disk{room: -1}
	s, _, err := open(path, Options{Durable: true, MaxDeaths: 1, FlushInterval: time.Millisecond}, d.open)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Box("a/chat")
	mustPut(t, b, "1")
	r := b.Open()
	r.Begin(mustNext(t, r, "1").Seq)
	r.Close(api.Died)
	mustSync(t, s)
	d.set(func(d *disk) { d.room = 10 })
	if n, err := b.Redeliver(); n != 1 || err != nil {
		t.Fatalf("Redeliver: %d, %v", n, err)
	}
	if err := s.Sync(); err == nil {
		t.Fatal("Sync succeeded on a full disk")
	}
	wantIDs(t, "on a full disk", b.Waiting(), "1")
	d.set(func(d *disk) { d.room = -1 })
	mustNext(t, b.Open(), "1")
	mustClose(t, s)
	s = mustOpen(t, path, Options{})
	wantIDs(t, "read back", s.Box("a/chat").Waiting(), "1")
}

// Nobody asks for it: a store that writes behind writes and fsyncs by itself, and then rests.
func TestWhatWaitsIsWrittenAndSyncedInTime(t *testing.T) {
	d := &disk{room: -1}
	wrote, synced := make(chan struct{}, 1), make(chan struct{}, 1)
	s, _, err := open(filepath.Join(t.TempDir(), "journal"), Options{}, d.open)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := s.Box("a/chat")
	mustPut(t, b, "1") // at once: its number must be reserved
	mustNext(t, b.Open(), "1")
	d.set(func(d *disk) {
		d.wrote = func(p []byte) {
			if bytes.Contains(p, []byte("text of 2")) {
				wrote <- struct{}{}
			}
		}
		d.synced = func() {
			select {
			case synced <- struct{}{}:
			default:
			}
		}
	})
	mustPut(t, b, "2")
	<-wrote
	<-synced
	mustSync(t, s)
	d.set(func(d *disk) {
		d.wrote = func(p []byte) { t.Errorf("an idle store wrote %q", p) }
		d.synced = func() { t.Error("an idle store called fsync") }
	})
	mustSync(t, s) // a turn of the flusher with nothing to do
	d.set(func(d *disk) { d.wrote, d.synced = nil, nil })
}

// What happens while nothing can be written is written when it can: acknowledgements, removals, dead letters.
func TestWhatHappensOnAFullDiskIsWrittenLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	d := &disk{room: -1}
	s, _, err := open(path, Options{FlushInterval: time.Millisecond}, d.open)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Box("a/chat")
	mustPut(t, b, "1", "2")
	mustPut(t, s.Box("a/gone"), "x")
	mustSync(t, s)
	d.set(func(d *disk) { d.room = 0 })
	r := b.Open()
	r.Ack(mustNext(t, r, "1").Seq)
	if err := s.Remove("a/gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Sync on a full disk: %v", err)
	}
	d.set(func(d *disk) { d.room = -1 })
	mustSync(t, s)
	mustClose(t, s)
	s = mustOpen(t, path, Options{})
	wantIDs(t, "read back", s.Box("a/chat").Waiting(), "2")
	if _, ok := s.Lookup("a/gone"); ok {
		t.Fatal("a removed box came back")
	}
}

// A message may die, for the last time, while the write that should have brought it to disk is about to fail.
func TestAMessageThatDiesDuringAFailingWriteIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	d := &disk{room: -1}
	s, _, err := open(path, Options{MaxDeaths: 1, FlushInterval: time.Hour}, d.open)
	if err != nil {
		t.Fatal(err)
	}
	b := s.Box("a/chat")
	mustPut(t, b, "1")
	mustNext(t, b.Open(), "1")
	mustSync(t, s)
	mustPut(t, b, "2")
	r := b.Open()
	mustNext(t, r, "1")
	r.Begin(mustNext(t, r, "2").Seq)
	d.set(func(d *disk) {
		d.room = 0
		d.wrote = func([]byte) { r.Close(api.Died) }
	})
	if err := s.Sync(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Sync on a full disk: %v", err)
	}
	wantIDs(t, "dead", b.Dead(), "2†1")
	d.set(func(d *disk) { d.room, d.wrote = -1, nil })
	mustSync(t, s)
	mustClose(t, s)
	s = mustOpen(t, path, Options{})
	wantIDs(t, "waiting", s.Box("a/chat").Waiting(), "1")
	wantIDs(t, "dead", s.Box("a/chat").Dead(), "2†1")
}
