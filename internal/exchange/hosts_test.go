package exchange_test

import (
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// TestHostsAsProcesses runs three hosts in processes of their own that send to each other through each broker, while the
// broker is killed, and each of the hosts.
func TestHostsAsProcesses(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			if testing.Short() && kind.name != "mosquitto" {
				t.Skip("the others take long")
			}
			broker := kind.start(t, peers.BrokerOptions{})
			l := newLedger()
			const each = 1500
			hosts := startHosts(t, l, broker.URL(), each)
			l.awaitAccepted(t, "h1", each/2)
			broker.Kill()
			l.awaitAccepted(t, "h2", each)
			broker.Start()
			for _, h := range hosts {
				h.kill()
				h.again(each / 4)
			}
			for _, h := range hosts {
				h.awaitSent()
			}
			l.await(t, 90*time.Second)
			for _, h := range hosts {
				h.stop()
			}
			l.check(t)
		})
	}
}

// startHosts starts h1, h2 and h3, each of which sends so many messages to each of the others.
func startHosts(t *testing.T, l *ledger, broker string, each int, prefix ...[]string) []*process {
	t.Helper()
	names := []string{"h1", "h2", "h3"}
	var hosts []*process
	for i, name := range names {
		h := &process{t: t, ledger: l, opt: hostOptions{Name: name, Dir: t.TempDir(), Broker: broker, First: 1, Last: each}}
		for _, to := range names {
			if to != name {
				h.opt.To = append(h.opt.To, to)
			}
		}
		if prefix != nil {
			h.prefix = prefix[i]
		}
		h.start()
		t.Cleanup(func() {
			h.stdin.Close()
			h.command.Process.Kill() // fails where it has ended
			if t.Failed() {
				t.Logf("%s: %s", name, h.output.String())
			}
		})
		hosts = append(hosts, h)
	}
	return hosts
}
