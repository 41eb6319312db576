package spec

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Effect is what a change needs to take hold.
type Effect string

// The effects, weakest first.
const (
	EffectNone    Effect = "none"    // pgherd takes it up by itself
	EffectReload  Effect = "reload"  // PostgreSQL reads its configuration again
	EffectRestart Effect = "restart" // PostgreSQL restarts, one member at a time
	EffectRefuse  Effect = "refuse"  // it cannot be done
)

// Change is one difference between two specs. Old or New is empty for a value
// that was not set, or is not any more (PostgreSQL's own default then counts).
type Change struct {
	Path   string `json:"path"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Effect Effect `json:"effect"`
	Reason string `json:"reason"`
}

// Diff lists what differs, pgherd's own settings first, then parameters by name,
// then the access rules. A new spec that does not validate has changes to refuse.
func Diff(old, new Cluster) []Change {
	d := differ{problems: &problems{}, told: map[int]bool{}}
	new.check(d.problems)
	d.own(old, new)
	d.parameters(old.Postgres.Parameters, new.Postgres.Parameters)
	d.hba(old.Postgres.HBA, new.Postgres.HBA)
	d.rest()
	return d.changes
}

type differ struct {
	problems *problems
	told     map[int]bool // problems that a change carries already
	changes  []Change
}

// rest adds the problems of values that did not change themselves, such as a
// lease.renew that a shorter ttl made too long.
func (d *differ) rest() {
	for i, e := range d.problems.list {
		if !d.told[i] {
			d.changes = append(d.changes, Change{Path: e.Key, Effect: EffectRefuse, Reason: e.Error()})
		}
	}
}

// covers says whether key is path or lies below it.
func covers(path, key string) bool {
	rest, ok := strings.CutPrefix(key, path)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (d *differ) add(path, old, new string, effect Effect, reason string) {
	if old == new {
		return
	}
	for i, e := range d.problems.list {
		if covers(path, e.Key) {
			effect, reason, d.told[i] = EffectRefuse, e.Error(), true
		}
	}
	d.changes = append(d.changes, Change{path, old, new, effect, reason})
}

func (d *differ) own(old, new Cluster) {
	const byItself, commits = "taken up at the next decision", "changes which standbys confirm commits"
	d.add("lease.ttl", old.Lease.TTL.D().String(), new.Lease.TTL.D().String(), EffectNone, byItself)
	d.add("lease.renew", old.Lease.Renew.D().String(), new.Lease.Renew.D().String(), EffectNone, byItself)
	d.add("lease.margin", old.Lease.Margin.D().String(), new.Lease.Margin.D().String(), EffectNone, byItself)
	d.add("durability", string(old.Durability), string(new.Durability), EffectReload, commits)
	d.add("sync_standbys", strconv.Itoa(old.SyncStandbys), strconv.Itoa(new.SyncStandbys), EffectReload, commits)
	d.add("strict", strconv.FormatBool(old.Strict), strconv.FormatBool(new.Strict), EffectReload, commits)
	had, has := old.HealthRules(), new.HealthRules()
	d.add("health.write_timeout", had.WriteTimeout.D().String(), has.WriteTimeout.D().String(), EffectNone, byItself)
	d.add("health.failover", strconv.FormatBool(had.Failover), strconv.FormatBool(has.Failover), EffectNone, byItself)
	d.add("max_lag_bytes", strconv.FormatInt(old.MaxLagBytes, 10), strconv.FormatInt(new.MaxLagBytes, 10), EffectNone, byItself)
	was, is := old.Retention(), new.Retention()
	d.add("forks.keep", was.Keep.D().String(), is.Keep.D().String(), EffectNone, byItself)
	d.add("forks.max_bytes", strconv.FormatInt(was.MaxBytes, 10), strconv.FormatInt(is.MaxBytes, 10), EffectNone, byItself)
	d.add("forks.aside", strconv.Itoa(was.Aside), strconv.Itoa(is.Aside), EffectNone, byItself)
	d.add("forks.discard", strconv.FormatBool(was.Discard), strconv.FormatBool(is.Discard), EffectNone, byItself)
	old.PoolerRules().diff(d, new.PoolerRules())
	d.add("vip.address", old.VIP.Address, new.VIP.Address, EffectNone, "moves to the primary's interface at the next decision; clients of the old one are cut off")
	d.add("crash_recovery_max", old.CrashRecoveryMax.D().String(), new.CrashRecoveryMax.D().String(), EffectNone, byItself)
}

func (d *differ) parameters(old, new map[string]string) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(old)), maps.Keys(new))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		effect, reason := parameterEffect(name)
		d.add(join(parametersPath, name), old[name], new[name], effect, reason)
	}
}

func parameterEffect(name string) (Effect, string) {
	switch {
	case Ordered(name):
		return EffectRestart, "PostgreSQL reads it at its start; standbys must not have less than the primary, so they grow first and shrink last"
	case NeedsRestart(name):
		return EffectRestart, "PostgreSQL reads it at its start only"
	}
	return EffectReload, "PostgreSQL takes it up while it runs"
}

func (d *differ) hba(old, new []HBARule) {
	d.add("postgres.hba", hbaText(old), hbaText(new), EffectReload, "counts for new connections; those open stay open")
}

// hbaText writes the rules in YAML's flow style, as Set reads them.
func hbaText(rules []HBARule) string {
	text := "["
	for i, r := range rules {
		if i > 0 {
			text += ", "
		}
		text += "{databases: " + quotedList(r.Databases) + ", users: " + quotedList(r.Users) + ", from: " + quoted(r.From) + ", auth: " + quoted(r.Auth) + "}"
	}
	return text + "]"
}
