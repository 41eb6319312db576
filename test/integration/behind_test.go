package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// clerk is the role of clients behind endpoints, which let no superuser in.
const clerk = "clerk"

// upBehind makes a healthy cluster of three whose members offer endpoints. It is a cluster of its
// own: the shared one has none.
func (c *cluster) upBehind() {
	c.t.Helper()
	first := c.addOpen()
	first.init()
	first.start()
	first.waitState("running")
	c.appRole(first)
	first.psql("SET log_statement = none; SET log_min_error_statement = panic; CREATE ROLE " + clerk + " LOGIN PASSWORD '" + password + "'")
	for range 2 {
		m := c.addOpen()
		m.join(first)
		m.start()
	}
	c.waitRouted()
}

func (c *cluster) addOpen() *member {
	m := c.add()
	m.rw, m.ro = freePort(c.t), freePort(c.t)
	return m
}

type endpoint struct {
	Name, Target, Text string
	Readers            []string
}

func (m *member) endpoints() (list []endpoint) {
	var s struct{ Endpoints []endpoint }
	_ = json.Unmarshal([]byte(m.try("status", "--json").stdout), &s)
	return s.Endpoints
}

// waitRouted waits until every endpoint sends writers to the primary and readers to others, and gives the
// primary. (One PgBouncer has one port for all its readers' servers: on loopback it sends to one.)
func (c *cluster) waitRouted() (primary *member) {
	c.t.Helper()
	c.wait(healthyLimit, "endpoints that send to the primary", func() bool {
		primary = c.waitSync()
		all := primary.endpoints()
		return len(all) == len(c.members) && !slices.ContainsFunc(all, func(e endpoint) bool {
			return e.Target != primary.name || e.Text != "" || len(e.Readers) == 0 || slices.Contains(e.Readers, primary.name)
		})
	})
	return primary
}

func connectBy(ctx context.Context, port int) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig("postgresql://" + clerk + ":" + url.QueryEscape(password) + "@" + at(port) + "/app?sslmode=require&connect_timeout=5")
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// startBehind begins two writers through the endpoint of each of these members. They know nothing else:
// a server that refuses a write is a failed statement.
func (c *cluster) startBehind(members ...*member) *load {
	c.t.Helper()
	l := c.newLoad()
	for _, m := range c.members {
		if c.isPrimary(m) {
			c.exec(m, "GRANT ALL ON load TO "+clerk)
		}
	}
	l.strict = true
	for _, m := range members {
		for range 2 {
			l.writers.Go(func() { l.writeBy(func(ctx context.Context) (*pgx.Conn, error) { return connectBy(ctx, m.rw) }) })
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

// readers are the members to which a member's read-only endpoint sends.
func (c *cluster) readers(by *member) (names []string) {
	for _, e := range by.endpoints() {
		if e.Name == by.name {
			return e.Readers
		}
	}
	return nil
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
