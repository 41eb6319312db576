// Package ports gives tests the TCP ports that their servers listen at.
//
// It must not know what listens: it is a leaf, for tests alone.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are below those that the kernel gives to clients (32768 and up), as a server
// that is down must not find its port taken, and above the first of those that `pgherd demo` tries.
const first, last = 20000, 32000

var (
	mu   sync.Mutex
	next = first + rand.IntN(last-first)
	// held is why no port is given twice, neither to two servers that are prepared before
	// the first of them is started, nor to two test processes that run side by side: an
	// abstract socket for each port, which the kernel frees with the process.
	held []net.Listener
)

// Free is a port that nobody listens at, on any address, and that nobody else is given while
// this process lives.
func Free(t testing.TB) int {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	for range last - first {
		if next++; next >= last {
			next = first
		}
		mark, err := net.Listen("unix", "@pgherd-test-port-"+strconv.Itoa(next))
		if err != nil {
			continue // another's
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", next))
		if err != nil {
			_ = mark.Close()
			continue
		}
		_ = l.Close()
		held = append(held, mark)
		return next
	}
	t.Fatalf("no port from %d to %d is free", first, last)
	return 0
}

// Addr is 127.0.0.1 with such a port.
func Addr(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Free(t)))
}
