package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// waitRouted is waitSync and waitEndpoints, and gives the primary.
func (c *cluster) waitRouted() *member {
	c.t.Helper()
	c.waitSync()
	c.waitEndpoints()
	return c.waitSync()
}

// startBehind begins two writers through the endpoint of each of these members. They know nothing else:
// a server that refuses a write is a failed statement.
func (c *cluster) startBehind(members ...*member) *load {
	c.t.Helper()
	l := c.newLoad()
	for _, m := range c.members {
		if c.isPrimary(m) {
			c.exec(m, "GRANT ALL ON load TO web")
		}
	}
	l.strict = true
	for _, m := range members {
		for range 2 {
			l.writers.Go(func() {
				l.writeBy(func(ctx context.Context) (*pgx.Conn, error) { return through(ctx, m, m.rw, "web", "app", "require") })
			})
		}
	}
	l.waitAcked(20)
	return l
}

// checkUnnoticed: no statement failed.
func (l *load) checkUnnoticed() {
	l.c.t.Helper()
	acks, failed := l.snapshot()
	if len(failed) > 0 {
		l.c.t.Errorf("%d statements failed, such as %s", len(failed), failed[0])
	}
	l.c.t.Logf("%d statements, %d failed, the longest wait between two %v", len(acks), len(failed), l.longestGap().Round(time.Millisecond))
}

// readers are the members to which the read-only endpoint of each member sends.
func (c *cluster) readers() map[string][]string {
	to := map[string][]string{}
	for _, e := range c.status().Endpoints {
		to[e.Name] = e.Readers
	}
	return to
}

// settings is what each member runs with.
func (c *cluster) settings(name string) (values []string) {
	for _, m := range c.members {
		v, err := c.query(m, fmt.Sprintf("SELECT current_setting('%s')", name))
		if err != nil {
			v = err.Error()
		}
		values = append(values, v)
	}
	return values
}
