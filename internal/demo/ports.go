package demo

import (
	"fmt"
	"net"
	"strconv"
)

// Ports are one member's. PostgreSQL's ports of all members stand together at the front,
// so that `--port 5500` means 5500, 5501, 5502 to a client.
type Ports struct {
	Postgres int `json:"postgres"`
	API      int `json:"api"`
	Peer     int `json:"peer"`
	Store    int `json:"store"`

	// The endpoints'; 0 without them, and in a directory that an older demo left.
	RW int `json:"rw,omitempty"`
	RO int `json:"ro,omitempty"`
}

const (
	portsEach    = 6
	nodesMax     = 10
	portMin      = 1024
	portsBlock   = portsEach * nodesMax
	portFirstMin = 15432
	portFirstMax = 32768 - portsBlock // the kernel gives ports from 32768 on to anybody
)

// layPorts gives n members their ports from first on.
func layPorts(first, n int) []Ports {
	ports := make([]Ports, n)
	for i := range ports {
		rest := first + n + i*(portsEach-1)
		ports[i] = Ports{Postgres: first + i, API: rest, Peer: rest + 1, Store: rest + 2, RW: rest + 3, RO: rest + 4}
	}
	return ports
}

func (p Ports) all() []int {
	all := []int{p.Postgres, p.API, p.Peer, p.Store}
	if p.RW != 0 || p.RO != 0 {
		all = append(all, p.RW, p.RO)
	}
	return all
}

// choosePorts gives ports from first on (each must be free), or from a free block when
// first is 0. The listener reserves a searched block against other demos for as long as it is
// open: what is free now is only bound when the members start.
func choosePorts(first, n int) ([]Ports, net.Listener, error) {
	if first != 0 {
		if first < portMin || first+n*portsEach-1 > 65535 {
			return nil, nil, fail(fmt.Sprintf("port %d: %d members need ports %d to %d", first, n, first, first+n*portsEach-1),
				"choose a first port between 1024 and 60000")
		}
		ports := layPorts(first, n)
		return ports, nil, checkPorts(ports)
	}
	for first := portFirstMin; first <= portFirstMax; first += portsBlock {
		reserved, err := net.Listen("unix", "@pgherd-demo-port-"+strconv.Itoa(first))
		if err != nil {
			continue
		}
		ports := layPorts(first, n)
		if checkPorts(ports) == nil {
			return ports, reserved, nil
		}
		reserved.Close()
	}
	return nil, nil, fail("no block of free ports was found", "choose the first port: --port 5500")
}

// checkPorts tells the first port that cannot be bound on the loopback address.
func checkPorts(ports []Ports) error {
	for _, p := range ports {
		for _, port := range p.all() {
			l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
			if err != nil {
				return fail(fmt.Sprintf("port %d cannot be used: %s", port, err),
					"stop what uses it, or choose others: --port")
			}
			l.Close()
		}
	}
	return nil
}
