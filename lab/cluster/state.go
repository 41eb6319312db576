//go:build lab

package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/agent"
	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/internal/store/records"
)

// Status is `pgherd status --json` as this member tells it; ok is false when its agent does
// not answer. It is read from the same socket, because waiting asks twenty times a second.
func (m *Member) Status() (s api.ClusterStatus, ok bool) {
	// Cut off, it answers from what it remembers, once the store has not answered for a second.
	err := m.client(func(ctx context.Context, c *api.Client) (err error) {
		s, err = c.Status(ctx)
		return err
	})
	return s, err == nil && len(s.Members) > 0
}

// Version is that of the agent which answers.
func (m *Member) Version() (version string, ok bool) {
	s, ok := m.self()
	return s.Version, ok
}

// DecidedAt is the agent's own wall time of its last decision.
func (m *Member) DecidedAt() (at time.Time, ok bool) {
	s, ok := m.self()
	at, err := time.Parse(time.RFC3339, s.Decision.At)
	return at, ok && err == nil
}

// Begin asks for an operation, and does not follow it.
func (m *Member) Begin(request api.OperationRequest) (op core.Operation, err error) {
	err = m.client(func(ctx context.Context, c *api.Client) (err error) {
		op, err = c.Begin(ctx, request)
		return err
	})
	return op, err
}

// Operation is the newest, whether it has ended or not.
func (m *Member) Operation() (op core.Operation, ok bool) {
	err := m.client(func(ctx context.Context, c *api.Client) (err error) {
		op, err = c.Operation(ctx)
		return err
	})
	return op, err == nil
}

func (m *Member) self() (s peer.Status, ok bool) {
	err := m.client(func(ctx context.Context, c *api.Client) (err error) {
		s, err = c.Member(ctx)
		return err
	})
	return s, err == nil
}

func (m *Member) client(ask func(context.Context, *api.Client) error) error {
	return m.clientFor(3*time.Second, ask)
}

func (m *Member) clientFor(limit time.Duration, ask func(context.Context, *api.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := api.Local(api.SocketPath(m.StateDir))
	defer c.Close()
	return ask(ctx, c)
}

// Status is that of the first member that answers.
func (c *Cluster) Status() (s api.ClusterStatus) {
	for _, m := range c.Members {
		if m.AgentRuns() {
			if s, ok := m.Status(); ok {
				return s
			}
		}
	}
	return s
}

// Of picks one member out of a status.
func Of(s api.ClusterStatus, name string) api.MemberStatus {
	for _, m := range s.Members {
		if m.Name == name {
			return m
		}
	}
	return api.MemberStatus{}
}

// Has says whether a condition is raised, for the cluster or for any member.
func Has(s api.ClusterStatus, code core.Code) bool {
	all := slices.Clone(s.Conditions)
	for _, m := range s.Members {
		all = append(all, m.Conditions...)
	}
	for _, c := range all {
		if c.Code == code {
			return true
		}
	}
	return false
}

// Words is the cluster in one line, as each member sees it.
func (c *Cluster) Words() string {
	var lines []string
	for _, m := range c.Members {
		s, ok := m.Status()
		if !ok {
			lines = append(lines, m.Name+" is silent")
			continue
		}
		words := []string{}
		for _, x := range s.Members {
			words = append(words, fmt.Sprintf("%s %s %s tl %d", x.Name, x.Role, x.State, x.Timeline))
		}
		for _, x := range s.Conditions {
			words = append(words, string(x.Code))
		}
		lines = append(lines, fmt.Sprintf("%s sees term %d: %s", m.Name, s.Term, strings.Join(words, ", ")))
	}
	return strings.Join(lines, "; ")
}

// Primary is the member that accepts writes, asked directly; nil when none or more than one does.
func (c *Cluster) Primary() (primary *Member) {
	for _, m := range c.Data() {
		if m.Writable() {
			if primary != nil {
				return nil
			}
			primary = m
		}
	}
	return primary
}

// WaitPrimary waits until one of these accepts writes.
func (c *Cluster) WaitPrimary(limit time.Duration, some ...*Member) (primary *Member) {
	c.T.Helper()
	c.Wait(limit, "a primary", func() bool {
		for _, m := range some {
			if !m.Witness && m.Writable() {
				primary = m
			}
		}
		return primary != nil
	})
	return primary
}

// Broken says what keeps the cluster from being whole (N7); empty when it is: one leads, every
// other streams from it on one timeline, and no member keeps a slot that belongs to nobody.
func (c *Cluster) Broken() string {
	s := c.Status()
	if len(s.Members) != len(c.Members) {
		return fmt.Sprintf("%d of %d members are known", len(s.Members), len(c.Members))
	}
	for _, code := range []core.Code{core.CondWriteHangs, core.CondNotAnswering, core.CondDiskFailed, core.CondUnkillable} {
		if Has(s, code) {
			return "somebody shows " + string(code) // who leads without being able to write is no leader
		}
	}
	primary := api.MemberStatus{}
	for _, m := range s.Members {
		if m.Role == api.RolePrimary && m.State == api.StateRunning {
			primary = m
		}
	}
	if primary.Name == "" {
		return "nobody leads"
	}
	for _, m := range s.Members {
		if m.Name != primary.Name && m.Role != api.RoleWitness && (m.State != api.StateStreaming || m.Timeline != primary.Timeline) {
			return fmt.Sprintf("%s is %s on timeline %d, %s leads on %d", m.Name, m.State, m.Timeline, primary.Name, primary.Timeline)
		}
	}
	return c.brokenAt(c.Get(primary.Name))
}

// brokenAt asks PostgreSQL itself: a status may be a tick old.
func (c *Cluster) brokenAt(p *Member) string {
	got, err := p.Query(`SELECT CASE WHEN pg_is_in_recovery() THEN 'it is a standby' ELSE
		(SELECT count(*) FILTER (WHERE state = 'streaming' AND application_name !~ '^pgherd') FROM pg_stat_replication)::text END`)
	if want := fmt.Sprint(len(c.Data()) - 1); err != nil || got != want {
		return fmt.Sprintf("%s has %s of %s standbys, %v", p.Name, got, want, err)
	}
	for _, m := range c.Data() {
		if left := c.leakedSlots(m); left != "" {
			return left
		}
	}
	return ""
}

func (c *Cluster) leakedSlots(m *Member) string {
	var want []string
	for _, o := range c.Standbys(m) {
		want = append(want, spec.SlotName(o.Name))
	}
	got, err := m.Query("SELECT coalesce(string_agg(slot_name, ','), '') FROM pg_replication_slots WHERE NOT temporary AND slot_name <> ALL($1::text[])", want)
	if err != nil || got != "" {
		return fmt.Sprintf("slots left on %s: %q, %v", m.Name, got, err)
	}
	return ""
}

// WaitWhole waits until nothing is broken.
func (c *Cluster) WaitWhole(limit time.Duration) {
	c.T.Helper()
	why := ""
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if why = c.Broken(); why == "" {
			return
		}
		if time.Since(began) > limit {
			c.T.Fatalf("not whole after %v: %s; %s", limit, why, c.Words())
		}
	}
}

// WaitReady waits until losing any one member is survivable: whole, a sync set on record and
// in effect, and a store in which every member that should vote votes.
func (c *Cluster) WaitReady(limit time.Duration) {
	c.T.Helper()
	began := time.Now()
	c.WaitWhole(limit)
	c.Wait(limit-time.Since(began), "a sync set and all voters", func() bool {
		p := c.Primary()
		if p == nil {
			return false
		}
		names, err := p.Query("SELECT current_setting('synchronous_standby_names')")
		wanted, lease, ok := c.Records()
		if err != nil || !ok {
			return false
		}
		sync := wanted.Durability != spec.DurabilitySync || names != "" && len(lease.Sync.Members) == len(c.Data())-1
		return sync && c.Voters() == min(5, len(c.Members))
	})
}

// withStore gives f the store through the first member whose share of it answers. The test
// sits beside the bridge's cuts, so this works when the members cannot reach each other.
func (c *Cluster) withStore(f func(context.Context, *etcd.Store) bool) bool {
	return c.askStore(c.Members, f)
}

func (c *Cluster) askStore(members []*Member, f func(context.Context, *etcd.Store) bool) bool {
	for _, m := range members {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		s, err := m.dialStore(ctx)
		ok := err == nil && f(ctx, s)
		cancel()
		if err == nil {
			_ = s.Close()
		}
		if ok {
			return true
		}
	}
	return false
}

func (m *Member) dialStore(ctx context.Context) (*etcd.Store, error) {
	config, err := pki.ClientTLS(pki.Dir(filepath.Join(m.StateDir, "pki")))
	if err != nil {
		return nil, err
	}
	prefix, err := agent.StorePrefix("/pgherd", m.StateDir)
	if err != nil {
		return nil, err
	}
	return etcd.Dial(ctx, etcd.Config{
		Endpoints: []string{fmt.Sprintf("https://%s:%d", m.Host.Addr, PortStore)}, Prefix: prefix, TLS: config, Logger: slog.New(slog.DiscardHandler),
	})
}

// Voters counts the store's members that vote; -1 when it does not answer.
func (c *Cluster) Voters() (n int) {
	n = -1
	c.withStore(func(ctx context.Context, s *etcd.Store) bool {
		all, err := s.Client().MemberList(ctx)
		if err != nil {
			return false
		}
		n = 0
		for _, m := range all.Members {
			if !m.IsLearner && m.Name != "" {
				n++
			}
		}
		return true
	})
	return n
}

// Events are those since an instant, as the first member that answers has them.
func (c *Cluster) Events(since time.Time) (list []journal.Event) {
	for _, m := range c.Members {
		var e api.Events
		// It asks the others in turn, and waits for those that are silent.
		err := m.clientFor(5*time.Second, func(ctx context.Context, a *api.Client) (err error) {
			e, err = a.Events(ctx, 1000, false)
			return err
		})
		if err != nil {
			continue
		}
		for _, x := range e.Events {
			if x.At.After(since) {
				list = append(list, x)
			}
		}
		return list
	}
	return nil
}

// Records are the spec and the lease as the store has them.
func (c *Cluster) Records() (wanted spec.Cluster, lease core.LeaseRecord, ok bool) {
	return c.RecordsBy(c.Members...)
}

// RecordsBy asks the shares of the store of these members, until one answers.
func (c *Cluster) RecordsBy(members ...*Member) (wanted spec.Cluster, lease core.LeaseRecord, ok bool) {
	c.askStore(members, func(ctx context.Context, s *etcd.Store) bool {
		snapshot, err := s.Snapshot(ctx)
		if err != nil {
			return false
		}
		v, err := records.Decode(snapshot, "")
		wanted, lease, ok = v.Spec, v.Lease, err == nil && v.LeaseRevision > 0
		return ok
	})
	return wanted, lease, ok
}

// StoreLeader names the member on which the store's own leader runs; empty when none is known.
func (c *Cluster) StoreLeader() (name string) {
	c.withStore(func(ctx context.Context, s *etcd.Store) bool {
		status, err := s.Client().Status(ctx, s.Client().Endpoints()[0])
		if err != nil {
			return false
		}
		all, err := s.Client().MemberList(ctx)
		if err != nil {
			return false
		}
		for _, m := range all.Members {
			if m.ID == status.Leader {
				name = m.Name
			}
		}
		return name != ""
	})
	return name
}
