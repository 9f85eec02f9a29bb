package exchange_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// TestPartition runs three hosts and a broker on a network of their own, whose links are cut and mended.
func TestPartition(t *testing.T) {
	n := newNetwork(t, 4)
	broker := peers.Mosquitto(t, peers.BrokerOptions{Host: n.address(0), Prefix: n.in(0)})
	l := newLedger()
	const each = 600
	hosts := startHosts(t, l, broker.URL(), each, n.in(1), n.in(2), n.in(3))
	for _, h := range hosts {
		l.awaitAccepted(t, h.opt.Name, each/4)
	}

	// One host is cut off, for longer than the broker waits for a sign of it. The others go on, with each other too; what
	// is for that host waits, as does what it sends, and arrives when the link is there again.
	n.cut(2)
	mended := time.After(partition())
	l.awaitAccepted(t, "h1", 2*each)
	l.awaitAccepted(t, "h2", 2*each)
	l.awaitAccepted(t, "h3", 2*each)
	l.awaitWay(t, "h1 h3", each)
	l.awaitWay(t, "h3 h1", each)
	<-mended
	n.mend(2)
	l.await(t, 2*time.Minute)

	// It is cut off again, and its process killed before the link is mended.
	n.cut(2)
	hosts[1].kill()
	hosts[0].kill()
	hosts[0].again(each)
	l.awaitAccepted(t, "h1", 3*each)
	n.mend(2)
	hosts[1].again(each)
	l.awaitAccepted(t, "h2", 3*each)

	// Now the broker is cut off, while a host starts.
	n.cut(0)
	hosts[2].kill()
	hosts[2].again(each)
	l.awaitAccepted(t, "h3", 3*each)
	n.mend(0)
	for _, h := range hosts {
		h.awaitSent()
	}
	l.await(t, 2*time.Minute)
	for _, h := range hosts {
		h.stop()
	}
	l.check(t)
}

// partition is how long the first cut lasts. A broker waits half as long again as the keep-alive of 15 s.
func partition() time.Duration {
	if testing.Short() {
		return 0
	}
	return 30 * time.Second
}

// awaitWay waits until so many messages have been received on one way.
func (l *ledger) awaitWay(t *testing.T, way string, n int) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		l.mu.Lock()
		got := len(l.received[way])
		l.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-l.change:
		case <-late:
			t.Fatalf("%s: %d of %d received", way, got, n)
		}
	}
}

// network is machines, each a network namespace, with an address each on a switch between them, which is another.
type network struct {
	t     *testing.T
	names []string // of the machines; the last is the switch
}

// newNetwork makes a network, which goes with the test; it needs root and the program ip.
func newNetwork(t *testing.T, machines int) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no program ip (Debian: iproute2)")
	}
	sweep(t)
	n := &network{t: t}
	t.Cleanup(func() {
		for _, name := range n.names {
			if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
				t.Errorf("remove namespace %s: %v: %s", name, err, out)
			}
		}
	})
	for i := range machines + 1 {
		name := fmt.Sprintf("%s%d-%d", namespaces, os.Getpid(), i)
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces here: %v: %s", err, out)
		}
		n.names = append(n.names, name)
		n.ip("-n", name, "link", "set", "lo", "up")
	}
	sw := n.names[machines]
	n.ip("-n", sw, "link", "add", "switch", "type", "bridge")
	n.ip("-n", sw, "link", "set", "switch", "up")
	for i := range machines {
		port := fmt.Sprint("port", i)
		n.ip("-n", n.names[i], "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", sw)
		n.ip("-n", sw, "link", "set", port, "master", "switch", "up")
		n.ip("-n", n.names[i], "addr", "add", n.address(i)+"/24", "dev", "eth0")
		n.ip("-n", n.names[i], "link", "set", "eth0", "up")
	}
	return n
}

// namespaces begins the names of the test's namespaces; the number of its process follows.
const namespaces = "coma-exchange-"

// sweep removes namespaces that tests which were killed have left.
func sweep(t *testing.T) {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, namespaces)
		digits, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(digits)
		if ours && err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			if err := exec.Command("ip", "netns", "del", name).Run(); err != nil {
				t.Logf("namespace %s of a test that has gone stays: %v", name, err)
			}
		}
	}
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (n *network) address(machine int) string { return fmt.Sprint("10.203.0.", machine+1) }

// in is what runs a command on a machine.
func (n *network) in(machine int) []string {
	return []string{"ip", "netns", "exec", n.names[machine]}
}

// cut and mend cut a machine off the switch, and connect it again.
func (n *network) cut(machine int) {
	n.t.Helper()
	n.ip("-n", n.names[len(n.names)-1], "link", "set", fmt.Sprint("port", machine), "down")
}

func (n *network) mend(machine int) {
	n.t.Helper()
	n.ip("-n", n.names[len(n.names)-1], "link", "set", fmt.Sprint("port", machine), "up")
}
