package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The relay is the limit for two modules in processes of their own: the same hops and the same answers, between three
// processes over unix sockets, with nothing in them but 100 bytes, no JSON, no mailbox, no journal. Like coma's link, the
// relay answers every send, and the receiver tells it of every message.
const (
	relaySize  = 100
	relayWarm  = 2000
	relayTurns = 10_000
)

// relayPart is what this program is when it is started as a part of the relay.
func relayPart(role, dir string) error {
	up, err := net.Listen("unix", filepath.Join(dir, role))
	if err != nil {
		return err
	}
	defer up.Close()
	if role == "relay" {
		return relay(up, dir)
	}
	return echo(up)
}

// echo sends back what begins with 'e', and one byte for everything else.
func echo(up net.Listener) error {
	conn, err := up.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, relaySize)
	for {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return nil // the relay has gone
		}
		answer := buf
		if buf[0] != 'e' {
			answer = buf[:1]
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

// relay passes on what it is sent, by many, to the echo, and what that sends back to whoever sent an 'e' last.
func relay(up net.Listener, dir string) error {
	down, err := net.Dial("unix", filepath.Join(dir, "echo"))
	if err != nil {
		return err
	}
	defer down.Close()
	var mu sync.Mutex // of writes to down
	var asker net.Conn
	var askers sync.Mutex
	go func() {
		buf := make([]byte, relaySize)
		for {
			if _, err := io.ReadFull(down, buf[:1]); err != nil {
				return
			}
			if buf[0] != 'e' {
				continue
			}
			if _, err := io.ReadFull(down, buf[1:]); err != nil {
				return
			}
			askers.Lock()
			to := asker
			askers.Unlock()
			if _, err := to.Write(buf); err != nil {
				return
			}
		}
	}()
	for {
		conn, err := up.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			buf := make([]byte, relaySize)
			for {
				if _, err := io.ReadFull(conn, buf); err != nil {
					return
				}
				if buf[0] == 'e' {
					askers.Lock()
					asker = conn
					askers.Unlock()
				}
				mu.Lock()
				_, err := down.Write(buf)
				mu.Unlock()
				if err == nil && buf[0] != 'e' {
					_, err = conn.Write(buf[:1])
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

// limit measures the relay.
func (b *bench) limit() (microseconds, perSecond float64, err error) {
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	for _, role := range []string{"echo", "relay"} {
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), peerEnv+"="+role+" "+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return 0, 0, err
		}
		defer cmd.Wait() // after cancel has killed it
		defer cancel()
		if err := appears(filepath.Join(dir, role)); err != nil {
			return 0, 0, err
		}
	}
	conn, err := net.Dial("unix", filepath.Join(dir, "relay"))
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	buf := []byte(strings.Repeat("e", relaySize))
	var times []float64
	for i := range relayWarm + relayTurns {
		start := time.Now()
		if _, err := conn.Write(buf); err != nil {
			return 0, 0, err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return 0, 0, err
		}
		if i >= relayWarm {
			times = append(times, float64(time.Since(start).Nanoseconds())/1000)
		}
	}
	const senders, each = 16, 10_000
	results := make(chan error, senders)
	start := time.Now()
	for range senders {
		go func() { results <- relaySend(dir, each) }()
	}
	for range senders {
		if err := <-results; err != nil {
			return 0, 0, err
		}
	}
	return median(times), senders * each / time.Since(start).Seconds(), nil
}

func relaySend(dir string, n int) error {
	conn, err := net.Dial("unix", filepath.Join(dir, "relay"))
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := []byte(strings.Repeat("x", relaySize))
	for range n {
		if _, err := conn.Write(buf); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, buf[:1]); err != nil {
			return err
		}
	}
	return nil
}

// appears waits for a socket.
func appears(path string) error {
	for range 500 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errors.New(path + " does not appear")
}
