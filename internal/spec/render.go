package spec

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// page writes YAML line by line. By hand, because the text is for people: the
// comments stand beside what they explain, and the order is ours.
type page struct{ strings.Builder }

func (w *page) line(indent int, text, comment string) {
	w.WriteString(strings.Repeat("  ", indent) + text)
	if comment != "" {
		w.WriteString("  # " + comment)
	}
	w.WriteByte('\n')
}

func (w *page) pair(indent int, key, value, comment string) {
	w.line(indent, key+": "+quoted(value), comment)
}

// optional writes nothing for an empty value.
func (w *page) optional(indent int, key, value, comment string) {
	if value != "" {
		w.pair(indent, key, value, comment)
	}
}

func (w *page) parameters(indent int, m map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		w.pair(indent, quoted(name), m[name], "")
	}
}

// What reads back as itself without quotes. Our decoder takes scalars as typed,
// so numbers and booleans need none; null would be no value.
var plainScalar = regexp.MustCompile(`^-?[A-Za-z0-9/][A-Za-z0-9_./+-]*(:[A-Za-z0-9_./+-]+)*$`)

func quoted(s string) string {
	if plainScalar.MatchString(s) && !strings.EqualFold(s, "null") {
		return s
	}
	return strconv.Quote(s)
}

func quotedList(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quoted(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// YAML writes the member's file as init and join leave it; ParseMember reads the
// same member back.
func (m Member) YAML() []byte {
	var w page
	w.line(0, "# This member of the cluster. Unknown keys are errors; restart pgherd after a change.", "")
	w.pair(0, "name", m.Name, "")
	w.pair(0, "address", m.Address, "the others reach this member by it")
	w.pair(0, "state_dir", m.StateDir, "keys, store, journal, sockets")
	if m.Witness {
		w.pair(0, "witness", "true", "votes, runs no PostgreSQL")
	}
	w.line(0, "listen:", "")
	w.pair(1, "api", m.Listen.API, "HTTPS: API, joins, status")
	w.pair(1, "peer", m.Listen.Peer, "between the members' stores")
	w.pair(1, "store", m.Listen.Store, "for the store's clients")
	w.optional(1, "rw", m.Listen.RW, "endpoint for clients: wherever the primary is")
	w.optional(1, "ro", m.Listen.RO, "endpoint for clients that only read: the standbys")
	m.Postgres.render(&w)
	m.Pooler.render(&w)
	m.Store.render(&w)
	m.Tags.render(&w)
	m.Watchdog.render(&w)
	m.VIP.render(&w)
	m.Log.render(&w)
	w.optional(0, "hooks_dir", m.HooksDir, "programs that are told of this member's role")
	return []byte(w.String())
}

func (pg Postgres) render(w *page) {
	var b page
	b.optional(1, "bin_dir", pg.BinDir, "")
	b.optional(1, "data_dir", pg.DataDir, "")
	b.optional(1, "wal_dir", pg.WalDir, "")
	b.optional(1, "socket_dir", pg.SocketDir, "")
	if pg.Port != 0 {
		b.pair(1, "port", strconv.Itoa(pg.Port), "")
	}
	b.optional(1, "listen", pg.Listen, "PostgreSQL's listen_addresses")
	if len(pg.Parameters) > 0 {
		b.line(1, "parameters:", "of this member alone; the cluster's are in `pgherd config`")
		b.parameters(2, pg.Parameters)
	}
	w.section("postgres", &b)
}

func (m MemberPooler) render(w *page) {
	var b page
	b.optional(1, "bin", m.Bin, "PgBouncer's program")
	w.section("pooler", &b)
}

func (s Store) render(w *page) {
	var b page
	if len(s.Endpoints) > 0 {
		b.line(1, "endpoints: "+quotedList(s.Endpoints), "an etcd of your own")
	}
	b.optional(1, "prefix", s.Prefix, "")
	b.optional(1, "ca_file", s.CAFile, "")
	b.optional(1, "cert_file", s.CertFile, "")
	b.optional(1, "key_file", s.KeyFile, "")
	w.section("store", &b)
}

func (t Tags) render(w *page) {
	var b page
	b.optional(1, "zone", t.Zone, "failure domain")
	if t.Priority != 0 {
		b.pair(1, "priority", strconv.Itoa(t.Priority), "among equal candidates the higher wins")
	}
	if t.NoFailover {
		b.pair(1, "no_failover", "true", "never becomes primary")
	}
	if t.NoSync {
		b.pair(1, "no_sync", "true", "never counted for commits")
	}
	w.section("tags", &b)
}

func (d Watchdog) render(w *page) {
	var b page
	b.optional(1, "mode", string(d.Mode), "off, automatic, or required: without it this member never leads")
	b.optional(1, "device", d.Device, "resets this machine when nothing else could end PostgreSQL in time")
	if d.Timeout != 0 {
		b.pair(1, "timeout", d.Timeout.D().String(), "")
	}
	w.section("watchdog", &b)
}

func (l Log) render(w *page) {
	var b page
	b.optional(1, "level", l.Level, "")
	b.optional(1, "format", l.Format, "")
	b.optional(1, "postgres", l.Postgres, "stream: PostgreSQL's lines too; file: only in STATE_DIR/postgres.log")
	w.section("log", &b)
}

func (w *page) section(key string, body *page) {
	if body.Len() > 0 {
		w.line(0, key+":", "")
		w.WriteString(body.String())
	}
}

// YAML writes the cluster's spec for people to edit; ParseCluster reads the same
// spec back. Empty parameters and rules are written out, because an absent
// section means the default.
func (c Cluster) YAML() []byte {
	var w page
	w.line(0, "# The cluster's spec: the same for all members.", "")
	w.line(0, "lease:", "how long a primary that is not heard of stays primary")
	for _, d := range []struct {
		key, comment string
		value        Duration
	}{{"ttl", "a failover begins this long after the last sign of life", c.Lease.TTL}, {"renew", "", c.Lease.Renew}, {"margin", "the holder stops this much earlier", c.Lease.Margin}} {
		w.pair(1, d.key, d.value.D().String(), d.comment)
	}
	w.pair(0, "durability", string(c.Durability), "sync: a commit survives the loss of any one member; async: may lose what was not streamed")
	w.pair(0, "sync_standbys", strconv.Itoa(c.SyncStandbys), "standbys that confirm each commit")
	w.pair(0, "strict", strconv.FormatBool(c.Strict), "true: commits wait rather than go on without a standby")
	w.pair(0, "max_lag_bytes", strconv.FormatInt(c.MaxLagBytes, 10), "async: a standby further behind is no candidate")
	w.pair(0, "crash_recovery_max", c.CrashRecoveryMax.D().String(), "a primary that takes longer to come up is given up when another can lead")
	c.Retention().render(&w)
	w.line(0, "health:", "of a primary that runs")
	w.pair(1, "write_timeout", c.HealthRules().WriteTimeout.D().String(), "no commit for so long, and a standby takes over")
	w.pair(1, "failover", strconv.FormatBool(c.HealthRules().Failover), "false: only say so")
	c.PoolerRules().render(&w)
	c.VIP.render(&w)
	w.line(0, "postgres:", "")
	c.Postgres.render(&w)
	return []byte(w.String())
}

func (f Forks) render(w *page) {
	w.line(0, "forks:", "what a rewind or a clone replaces is kept")
	w.pair(1, "keep", f.Keep.D().String(), "WAL that the primary's history does not have")
	w.pair(1, "max_bytes", strconv.FormatInt(f.MaxBytes, 10), "of each member; the newest always stays")
	w.pair(1, "aside", strconv.Itoa(f.Aside), "data directories that were set aside")
	if f.Discard {
		w.pair(1, "discard", "true", "diverged WAL is replaced without being saved")
	}
}

func (pg ClusterPostgres) render(w *page) {
	if len(pg.Parameters) == 0 {
		w.line(1, "parameters: {}", "")
	} else {
		w.line(1, "parameters:", "")
		w.parameters(2, pg.Parameters)
	}
	if len(pg.HBA) == 0 {
		w.line(1, "hba: []", "nobody but the cluster itself")
		return
	}
	w.line(1, "hba:", "who may connect, over TLS only; the first match counts")
	for _, r := range pg.HBA {
		w.line(2, fmt.Sprintf("- databases: %s", quotedList(r.Databases)), "")
		w.line(3, "users: "+quotedList(r.Users), "")
		w.pair(3, "from", r.From, "")
		w.pair(3, "auth", r.Auth, "")
	}
}
