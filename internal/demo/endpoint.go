package demo

import (
	"context"
	"path/filepath"
)

// EndpointDSN is for a member's read-write endpoint: it leads to the primary, wherever that is. "" when
// this cluster has no endpoints.
func (c *Cluster) EndpointDSN(name string) string {
	for _, m := range c.layout.Members {
		if m.Name == name && m.Ports.RW != 0 {
			m.Ports.Postgres = m.Ports.RW
			return c.dsn([]layoutMember{m}, "any")
		}
	}
	return ""
}

// PortsOf are a member's ports.
func (c *Cluster) PortsOf(name string) Ports {
	for _, m := range c.layout.Members {
		if m.Name == name {
			return m.Ports
		}
	}
	return Ports{}
}

// EndpointDir is where the PgBouncer of one of a member's endpoints ("rw", "ro") has its files.
func (c *Cluster) EndpointDir(name, endpoint string) string {
	return filepath.Join(c.StateDir(name), "pooler", endpoint)
}

// Pgherd runs a command of the binary for the first member, as a user would, and gives what it
// answered on stdout. Only ctx bounds it.
func (c *Cluster) Pgherd(ctx context.Context, args ...string) ([]byte, error) {
	return c.execute(ctx, append(args, "--config", c.members[0].config)...)
}
