package demo

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestPortsAreDistinct(t *testing.T) {
	for n := 1; n <= nodesMax; n++ {
		seen := map[int]bool{}
		for i, p := range layPorts(20000, n) {
			if p.Postgres != 20000+i {
				t.Errorf("%d members: PostgreSQL's port of member %d is %d", n, i+1, p.Postgres)
			}
			for _, port := range p.all() {
				if seen[port] || port < 20000 || port >= 20000+n*portsEach {
					t.Errorf("%d members: port %d is used twice or lies outside the block", n, port)
				}
				seen[port] = true
			}
		}
	}
}

func TestSearchPassesTakenBlocks(t *testing.T) {
	first, reserved, err := choosePorts(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer reserved.Close()
	second, reservedToo, err := choosePorts(0, 3) // nothing is bound yet, only reserved
	if err != nil {
		t.Fatal(err)
	}
	reservedToo.Close()
	if second[0].Postgres < first[0].Postgres+portsBlock {
		t.Errorf("two demos at once were both given ports from %d on", first[0].Postgres)
	}
	taken := listen(t, second[1].Store)
	defer taken.Close()
	third, reservedAlso, err := choosePorts(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	reservedAlso.Close()
	if third[0].Postgres <= second[0].Postgres {
		t.Errorf("a block with the taken port %d was chosen", second[1].Store)
	}
}

func TestChosenPortMustBeFree(t *testing.T) {
	ports, reserved, err := choosePorts(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer reserved.Close()
	taken := listen(t, ports[1].API)
	defer taken.Close()
	_, _, err = choosePorts(ports[0].Postgres, 2)
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(ports[1].API)) {
		t.Errorf("taken port %d: %v", ports[1].API, err)
	}
	for _, first := range []int{-1, 80, 65530, 70000} {
		if _, _, err := choosePorts(first, 3); err == nil {
			t.Errorf("first port %d was accepted", first)
		}
	}
}

func listen(t *testing.T, port int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}
