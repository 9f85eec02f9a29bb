package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
)

// python measures modules in Python, through the client library's two faces, beside modules in Go and the Python
// framework's way: paho-mqtt at QoS 2 and mosquitto.
func (b *bench) python() error {
	if _, err := exec.LookPath("python3"); err != nil {
		b.row("modules in Python", "not measured", "python3 is not installed")
		return nil
	}
	peer := measured{name: "the Python framework's way (mosquitto + paho-mqtt, QoS 2)"}
	tuned := measured{name: "the same, with TCP_NODELAY set by hand"}
	stop, address, err := mosquitto(b)
	if err == nil {
		peer.p50, peer.p99, peer.rate, err = b.framework(address)
		if err == nil {
			tuned.p50, tuned.p99, tuned.rate, err = b.framework(address, "nodelay")
		}
		stop()
	}
	if err != nil {
		b.row("the Python framework's way: mosquitto + paho-mqtt, QoS 2", "not measured", err.Error())
	}
	ways := []struct {
		name, roundtrip, flood string
		env                    []string
	}{
		{"modules in Python, threads", "python-roundtrip", "python-flood", []string{"FACE=threads"}},
		{"modules in Python, asyncio", "python-roundtrip", "python-flood", []string{"FACE=asyncio"}},
		{"modules in Go", "roundtrip", "flood", nil},
	}
	var trips, rates []measured
	for _, way := range ways {
		m := measured{name: way.name}
		l, err := b.resultLine(way.roundtrip, way.env)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		m.p50, err = l.number("p50_us")
		if err == nil {
			m.p99, err = l.number("p99_us")
		}
		if err != nil {
			return err
		}
		trips = append(trips, m)
		for _, senders := range []string{"1", "16"} {
			m := measured{name: way.name + ", senders: " + senders}
			l, err := b.resultLine(way.flood, append([]string{"SENDERS=" + senders, "MESSAGES=30000"}, way.env...))
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if m.rate, err = l.number("per_second"); err != nil {
				return err
			}
			rates = append(rates, m)
		}
	}
	if peer.rate > 0 {
		trips, rates = append(trips, peer, tuned), append(rates, peer, tuned)
	}
	for _, m := range trips {
		b.row("round trip p50 (p99): "+m.name, fmt.Sprintf("%.0f µs (%.0f)", m.p50, m.p99), factor("the framework's way takes ", peer.p50, m.p50))
	}
	for _, m := range rates {
		b.row("messages/s: "+m.name, fmt.Sprintf("%.0f", m.rate), factor("of the framework's way: ", m.rate, peer.rate))
	}
	return nil
}

// measured is one way to talk: round trips in microseconds, messages a second.
type measured struct {
	name           string
	p50, p99, rate float64
}

func factor(what string, a, b float64) string {
	if a == 0 || b == 0 || a == b {
		return ""
	}
	return fmt.Sprintf("%s%.3g ×", what, a/b)
}

// resultLine runs a project until a module logs its result.
func (b *bench) resultLine(project string, env []string) (line, error) {
	a, err := b.run(env, "--no-watch", filepath.Join("bench", "projects", project))
	if err != nil {
		return line{}, err
	}
	l, err := a.wait(isResult)
	return l, errors.Join(err, a.stop())
}

// framework measures two clients as the Python framework makes them.
func (b *bench) framework(address string, options ...string) (p50, p99, perSecond float64, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, 0, 0, err
	}
	cmd := exec.CommandContext(b.ctx, "python3", append([]string{filepath.Join("bench", "peer.py"), host, port}, options...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return 0, 0, 0, fmt.Errorf("%w: %s (pip install paho-mqtt)", err, lines[len(lines)-1])
	}
	if _, err := fmt.Sscan(string(out), &p50, &p99, &perSecond); err != nil {
		return 0, 0, 0, fmt.Errorf("unexpected output %q: %w", out, err)
	}
	return p50, p99, perSecond, nil
}
