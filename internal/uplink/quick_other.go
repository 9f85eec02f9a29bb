//go:build !linux

package uplink

import "net"

// quicken does nothing where the system does not hold acknowledgements back, or cannot be told not to.
func quicken(conn net.Conn) net.Conn { return conn }
