//go:build unix

package client

import (
	"net"
	"syscall"
)

// peek looks whether something waits to be read, without reading it.
func peek(conn net.Conn) peeked {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return peekNothing
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return peekClosed
	}
	result := peekNothing
	err = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK) // Go's sockets do not block
		switch {
		case err == nil && n > 0:
			result = peekData
		case err == nil:
			result = peekClosed
		case err != syscall.EAGAIN && err != syscall.EINTR:
			result = peekClosed
		}
	})
	if err != nil {
		return peekClosed
	}
	return result
}
