package spec

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Origin says where a parameter was set.
type Origin int

// The two origins.
const (
	FromCluster Origin = iota // the cluster's spec: it came over the network
	FromMember                // the member's own file: whoever wrote it owns the machine
)

// One name, or a class and a name. Upper case is refused rather than folded:
// PostgreSQL ignores case, so Archive_Command would be archive_command by the back door.
var parameterName = regexp.MustCompile(`^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$`)

// Extensions' parameters that the cluster's spec may set. Other classes may run
// code (plperl.on_init) or write files, and nobody can list them all.
var openClasses = []string{"auto_explain", "pg_stat_statements", "pgaudit", "plpgsql"}

// CheckParameter says why a PostgreSQL parameter cannot have this value, or nil.
// It knows what pgherd must refuse; whether PostgreSQL likes the value is found by trying.
func CheckParameter(name, value string, from Origin) error {
	if e := checkParameter(name, value, from); e != nil {
		return e
	}
	return nil
}

func checkParameter(name, value string, from Origin) *Error {
	refuse := func(hint, format string, args ...any) *Error {
		return &Error{Key: name, Text: fmt.Sprintf("parameter %q: ", name) + fmt.Sprintf(format, args...), Hint: hint}
	}
	if !parameterName.MatchString(name) || strings.HasPrefix(name, "include") {
		return refuse("", "want a parameter's name in lower case")
	}
	if reason, ok := OwnedParameters[name]; ok {
		return refuse("", "pgherd sets it: %s", reason)
	}
	if reason, ok := CommandParameters[name]; ok && from == FromCluster {
		return refuse("set it under postgres.parameters in the member's own pgherd.yaml", "%s, so it cannot be set over the network", reason)
	}
	if _, ok := CommandParameters[name]; !ok && from == FromCluster && !openParameter(name) {
		return refuse(unknownHint(name), "not known as safe to set over the network")
	}
	if from == FromMember && equalEverywhere(name) {
		return refuse("use `pgherd config set postgres.parameters."+name+"=VALUE`", "must be equal on all members")
	}
	if !printable(value) {
		return refuse("", "the value holds a line break, another control character or broken UTF-8")
	}
	if problem := valueProblem(name, value); problem != "" {
		return refuse("", "%s", problem)
	}
	return nil
}

func unknownHint(name string) string {
	if hint := didYouMean(name, parameterNames()); hint != "" {
		return hint
	}
	return "set it under postgres.parameters in the member's own pgherd.yaml"
}

// openParameter: deny by default. A release of PostgreSQL newer than our table
// may have a new parameter that runs a command.
func openParameter(name string) bool {
	if class, _, ok := strings.Cut(name, "."); ok {
		return slices.Contains(openClasses, class)
	}
	return restartParameters[name] || reloadParameters[name]
}

// valueProblem holds the few values that break a promise.
func valueProblem(name, value string) string {
	v := strings.ToLower(strings.TrimSpace(value))
	switch name {
	case "synchronous_commit":
		if v != "on" && v != "remote_apply" {
			return "only on and remote_apply keep acknowledged commits; to accept loss use durability: async"
		}
	case "password_encryption":
		if v != "scram-sha-256" {
			return "only scram-sha-256: clients are let in by scram or certificate"
		}
	case "superuser_reserved_connections":
		return atLeast(v, 1, "pgherd needs one to act when clients take all others")
	case "max_wal_senders", "max_replication_slots":
		return atLeast(v, 12, "a cluster may grow to ten members, each takes one, and a clone two")
	}
	return ""
}

func atLeast(value string, least int, why string) string {
	if n, err := strconv.Atoi(value); err != nil || n < least {
		return fmt.Sprintf("want a number from %d up: %s", least, why)
	}
	return ""
}

// Ordered says whether a standby refuses to run with a smaller value than the
// primary's: grow on standbys first, shrink on the primary first.
func Ordered(name string) bool { return slices.Contains(orderedNames, name) }

var orderedNames = []string{"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"}

// withOrdered fills in ordered parameters that are not there: their order can only be
// kept while every member knows them.
func (c Cluster) withOrdered() Cluster {
	all := maps.Clone(c.Postgres.Parameters)
	if all == nil {
		all = map[string]string{}
	}
	for _, name := range orderedNames {
		if _, ok := all[name]; !ok {
			all[name] = DefaultCluster().Postgres.Parameters[name]
		}
	}
	c.Postgres.Parameters = all
	return c
}

// equalEverywhere: any standby must be able to become primary as it is.
func equalEverywhere(name string) bool { return Ordered(name) || name == "max_replication_slots" }

// NeedsRestart says whether PostgreSQL (any of 14 to 18) reads the parameter only at its start.
func NeedsRestart(name string) bool { return restartParameters[name] }

func parameterNames() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(restartParameters)), maps.Keys(reloadParameters))
	slices.Sort(names) // the same hint each time
	return names
}

// checkParameters checks a whole section, in the order of the names.
func (p *problems) checkParameters(at string, parameters map[string]string, from Origin) {
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if e := checkParameter(name, parameters[name], from); e != nil {
			e.Path, e.Key, e.Line = p.path, join(at, name), p.line(join(at, name))
			p.list = append(p.list, e)
		}
	}
}

// OrderedParams must never be smaller on a standby than on its primary: PostgreSQL
// stops replay otherwise.
var OrderedParams = []string{
	"max_connections", "max_locks_per_transaction", "max_prepared_transactions", "max_wal_senders", "max_worker_processes",
}

// MayHoldSecret says whether people write access keys into the parameter's value: commands, and what an extension that nobody
// here knows is given. Such a value is shown to nobody but who owns the machine.
func MayHoldSecret(name string) bool {
	_, command := CommandParameters[name]
	return command || strings.Contains(name, ".") && !openParameter(name)
}
