package spec

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// DefaultCluster is the spec of a cluster that nobody changed.
func DefaultCluster() Cluster {
	return Cluster{
		Lease:            Lease{TTL: Duration(5 * time.Second), Renew: Duration(time.Second), Margin: Duration(time.Second)},
		Durability:       DurabilitySync,
		SyncStandbys:     1,
		MaxLagBytes:      16 << 20,
		CrashRecoveryMax: Duration(30 * time.Second),
		Forks:            Forks{Keep: Duration(720 * time.Hour), MaxBytes: 10 << 30, Aside: 2},
		Health:           Health{WriteTimeout: Duration(10 * time.Second), Failover: true},
		Pooler:           DefaultPooler(),
		Postgres: ClusterPostgres{
			Parameters: map[string]string{
				"max_connections":           "100",
				"max_wal_senders":           "20",
				"max_replication_slots":     "20",
				"max_worker_processes":      "8",
				"max_prepared_transactions": "0",
				"max_locks_per_transaction": "64",
				"wal_keep_size":             "128MB",
				// A standby that is gone for long is cloned again rather than let
				// its slot fill the primary's disk.
				"max_slot_wal_keep_size": "4GB",
				"password_encryption":    "scram-sha-256",
			},
			HBA: []HBARule{{Databases: []string{"all"}, Users: []string{"all"}, From: "samenet", Auth: "scram-sha-256"}},
		},
	}
}

// ParseCluster reads the cluster's spec strictly. A key that is absent has its
// default; postgres.parameters and postgres.hba, where present, are taken whole.
// The error is Errors with every problem.
func ParseCluster(yaml []byte) (Cluster, error) {
	c := DefaultCluster()
	p := decode(yaml, "", &c)
	if len(p.list) > 0 {
		return Cluster{}, p.list
	}
	c.check(p)
	if err := p.list.orNil(); err != nil {
		return Cluster{}, err
	}
	return c.withOrdered(), nil
}

// Validate lists every problem, as Errors; nil is good.
func (c Cluster) Validate() error {
	p := &problems{}
	c.check(p)
	return p.list.orNil()
}

// Retention is Forks, or the defaults in a spec that has none.
func (c Cluster) Retention() Forks {
	if c.Forks == (Forks{}) {
		return DefaultCluster().Forks
	}
	return c.Forks
}

func (f Forks) check(p *problems) {
	if f.Keep.D() < time.Hour {
		p.add("forks.keep", "", "%s: want 1h or more", f.Keep.D())
	}
	if f.MaxBytes < 0 {
		p.add("forks.max_bytes", "", "%d: want 0 or more", f.MaxBytes)
	}
	if f.Aside < 0 || f.Aside > 100 {
		p.add("forks.aside", "", "%d: want 0 to 100", f.Aside)
	}
}

func (c Cluster) check(p *problems) {
	c.Lease.check(p)
	c.Retention().check(p)
	c.HealthRules().check(p)
	c.PoolerRules().check(p)
	c.VIP.check(p)
	if c.Durability != DurabilitySync && c.Durability != DurabilityAsync {
		p.add("durability", "", "%q: want sync or async", c.Durability)
	}
	if c.Strict && c.Durability == DurabilityAsync {
		p.add("strict", "", "commits cannot wait for a standby with durability async")
	}
	if c.SyncStandbys < 1 || c.SyncStandbys > 9 {
		p.add("sync_standbys", "", "%d: want 1 to 9", c.SyncStandbys)
	}
	if c.MaxLagBytes < 0 {
		p.add("max_lag_bytes", "", "%d: want 0 or more", c.MaxLagBytes)
	}
	if most := c.CrashRecoveryMax.D(); most < time.Second && most != 0 || most > time.Hour {
		p.add("crash_recovery_max", "", "%s: want 1s to 1h", most)
	}
	p.checkParameters("postgres.parameters", c.Postgres.Parameters, FromCluster)
	for _, name := range orderedNames {
		if value, ok := c.Postgres.Parameters[name]; ok {
			if _, err := strconv.Atoi(value); err != nil { // core compares them as numbers
				p.add("postgres.parameters."+name, "", "%q: want a decimal number", value)
			}
		}
	}
	for i, r := range c.Postgres.HBA {
		r.check(p, indexed("postgres.hba", i))
	}
}

// HealthRules is Health, or the defaults in a spec that has none.
func (c Cluster) HealthRules() Health {
	if c.Health == (Health{}) {
		return Health{WriteTimeout: Duration(10 * time.Second), Failover: true}
	}
	return c.Health
}

// A flush that takes a few seconds is everyday on disks that are shared.
func (h Health) check(p *problems) {
	if t := h.WriteTimeout.D(); t < 3*time.Second || t > 5*time.Minute {
		p.add("health.write_timeout", "", "%s: want 3s to 5m", t)
	}
}

func (l Lease) check(p *problems) {
	ttl, renew, margin := l.TTL.D(), l.Renew.D(), l.Margin.D()
	if ttl < 3*time.Second || ttl > 5*time.Minute {
		p.add("lease.ttl", "", "%s: want 3s to 5m", ttl)
	}
	if renew < 100*time.Millisecond {
		p.add("lease.renew", "", "%s: want 100ms or more", renew)
	}
	if margin < 100*time.Millisecond {
		p.add("lease.margin", "", "%s: want 100ms or more", margin)
	}
	if renew >= ttl-margin {
		p.add("lease.renew", "", "%s is not less than ttl - margin (%s - %s): the lease would end between renewals", renew, ttl, margin)
	}
}

func (r HBARule) check(p *problems, at string) {
	p.hbaNames(at+".databases", r.Databases, "")
	p.hbaNames(at+".users", r.Users, "+")
	p.hbaFrom(at+".from", r.From)
	for _, user := range r.Users {
		if role := strings.TrimPrefix(user, "+"); role == "postgres" || strings.HasPrefix(role, "pgherd_") {
			p.add(at+".users", "name the roles of your applications", "%s: the administrator comes over the unix socket only, and pgherd's roles by its own rules", user)
		}
	}
	if r.Auth != "scram-sha-256" && r.Auth != "cert" {
		p.add(at+".auth", "", "%q: want scram-sha-256 or cert", r.Auth)
	}
}

// hbaNames refuses what means more than a name in pg_hba.conf: files (@), regular
// expressions (/), quotes, and replication, whose rules are pgherd's.
func (p *problems) hbaNames(at string, names []string, prefix string) {
	if len(names) == 0 {
		p.add(at, "write [all] for all", "is empty")
	}
	for _, n := range names {
		bare := n
		if prefix != "" {
			bare = strings.TrimPrefix(n, prefix)
		}
		switch {
		case bare == "" || len(bare) > 63 || strings.ContainsAny(bare, `",`) || !printable(bare) || strings.ContainsAny(bare[:1], "@/+"):
			p.add(at, "", "%q is not a name", n)
		case prefix == "" && n == "replication":
			p.add(at, "", "replication: its rules are pgherd's own")
		}
	}
}

func (p *problems) hbaFrom(at, from string) {
	if from == "samehost" || from == "samenet" {
		return
	}
	prefix, err := netip.ParsePrefix(from)
	if err != nil {
		hint := ""
		if addr, err := netip.ParseAddr(from); err == nil && addr.Zone() == "" {
			hint = "write " + netip.PrefixFrom(addr, addr.BitLen()).String()
		}
		p.add(at, hint, "%q: want a network such as 10.0.0.0/8, samehost or samenet", from)
		return
	}
	switch {
	case prefix.Bits() == 0:
		p.add(at, "name the networks that your clients are in", "%s is the whole internet", from)
	case prefix.Masked() != prefix:
		p.add(at, "write "+prefix.Masked().String(), "%s is an address within its network", from)
	}
}
