package demo

import (
	"strings"
	"testing"
)

func TestEndpointDSN(t *testing.T) {
	c := &Cluster{dir: "/d", layout: layout{Members: []layoutMember{
		{Name: "n1", Ports: Ports{Postgres: 5001, RW: 5011, RO: 5012}}, {Name: "n2", Ports: Ports{Postgres: 5002}},
	}}}
	if dsn := c.EndpointDSN("n1"); !strings.Contains(dsn, "@127.0.0.1:5011/app?") || !strings.Contains(dsn, "sslmode=verify-full") {
		t.Error(dsn)
	}
	if dsn := c.EndpointDSN("n2"); dsn != "" {
		t.Errorf("n2 has no endpoint: %s", dsn)
	}
	if c.PortsOf("n1").RW != 5011 || c.MemberDSN("n1") == c.EndpointDSN("n1") {
		t.Error("the ports of n1 were changed by asking")
	}
	if dir := c.EndpointDir("n1", "rw"); dir != "/d/n1/state/pooler/rw" {
		t.Error(dir)
	}
}
