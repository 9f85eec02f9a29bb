package uplink

import (
	"net"

	"golang.org/x/sys/unix"
)

// quick is a TCP connection whose packets are acknowledged at once. A broker that leaves Nagle's algorithm on, as Mosquitto
// does unless it is told set_tcp_nodelay, holds back what it sends next until what it has sent is acknowledged, for
// which Linux takes 40 ms where there is nothing to send: each answer would take so long.
type quick struct{ *net.TCPConn }

// Read asks for it each time: the kernel forgets it.
func (q quick) Read(p []byte) (int, error) {
	n, err := q.TCPConn.Read(p)
	if raw, rawErr := q.SyscallConn(); rawErr == nil {
		// It makes things faster, no more: where it fails, nothing is wrong.
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
	return n, err
}

func quicken(conn net.Conn) net.Conn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		return quick{tcp}
	}
	return conn
}
