package health

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// question is one path: what is asked, and whether the caller may narrow it by lag, tags and the state of replication.
type question struct {
	is      func(Facts) bool
	narrows bool
}

var (
	primary  = question{is: Facts.writes}
	replica  = question{Facts.reads, true}
	counted  = question{Facts.counted, true}
	another  = question{func(f Facts) bool { return f.reads() && !f.counted() }, true}
	anybody  = question{func(f Facts) bool { return f.writes() || f.reads() }, true}
	chosen   = question{func(f Facts) bool { return f.writes() || f.counted() }, true}
	nobody   = question{is: func(Facts) bool { return false }} // a standby cluster has such a leader; there are none here
	up       = question{is: Facts.running}
	alive    = question{is: living}
	prepared = question{func(f Facts) bool { return f.writes() || f.reads() && f.View.Local.Instance.Streaming }, true}
)

// questions by path. All are Patroni's; /sync and /quorum are one here, as commits always wait for a quorum.
var questions = map[string]question{
	"/": primary, "/primary": primary, "/master": primary, "/read-write": primary, "/leader": primary,
	"/replica": replica, "/read-only": anybody, "/standby-leader": nobody, "/standby_leader": nobody,
	"/sync": counted, "/synchronous": counted, "/quorum": counted, "/async": another, "/asynchronous": another,
	"/read-only-sync": chosen, "/read-only-synchronous": chosen, "/read-only-quorum": chosen,
	"/health": up, "/liveness": alive, "/readiness": prepared,
}

// Paths lists those that are answered.
func Paths() (list []string) {
	for path := range questions {
		list = append(list, path)
	}
	return list
}

// living: the loop has not stood still for longer than a lease that is ours, or two that are another's, can bear.
func living(f Facts) bool {
	if f.View.Store.Lease.Holder == f.View.Self {
		return f.fresh(1)
	}
	return f.fresh(2)
}

// Answer says yes or no to a path. A query that cannot be understood is an error, and no answer: a load balancer that
// misspelt its bound must not be told that there is none.
//
//	lag=BYTES                  also 16kB, 10MB, 1GB: no further behind the primary than that
//	replication_state=STATE    streaming, or in_archive_recovery
//	tag_NAME=VALUE             zone, priority, no_failover, no_sync; Patroni's nofailover, nosync and failover_priority too
//
// They narrow what standbys answer. A primary is never too far behind, and is asked for no tags.
func Answer(path string, query url.Values, f Facts) (yes bool, err error) {
	q, ok := questions[path]
	if !ok {
		return false, fmt.Errorf("no question is asked at %s", path)
	}
	narrow, err := narrowed(query)
	if err != nil {
		return false, err
	}
	if !q.is(f) {
		return false, nil
	}
	return !q.narrows || f.writes() || narrow(f), nil
}

// narrowed gives the condition of a query.
func narrowed(query url.Values) (func(Facts) bool, error) {
	var all []func(Facts) bool
	for key, values := range query {
		value := values[len(values)-1]
		tag, isTag := strings.CutPrefix(key, "tag_")
		switch {
		case key == "lag":
			most, err := parseBytes(value)
			if err != nil {
				return nil, err
			}
			all = append(all, func(f Facts) bool { return f.lag() <= most })
		case key == "replication_state":
			all = append(all, func(f Facts) bool { return replicationState(f) == strings.ReplaceAll(value, "_", " ") })
		case isTag:
			all = append(all, func(f Facts) bool { return tagged(f, tag, value) })
		}
	}
	return func(f Facts) bool {
		for _, is := range all {
			if !is(f) {
				return false
			}
		}
		return true
	}, nil
}

func replicationState(f Facts) string {
	if f.View.Local.Instance.Streaming {
		return "streaming"
	}
	return "in archive recovery"
}

func tagged(f Facts, tag, value string) bool {
	t := f.tags()
	switch strings.ReplaceAll(tag, "_", "") {
	case "zone":
		return t.Zone == value
	case "priority", "failoverpriority":
		return strconv.Itoa(t.Priority) == value
	case "nofailover":
		return strconv.FormatBool(t.NoFailover) == strings.ToLower(value)
	case "nosync":
		return strconv.FormatBool(t.NoSync) == strings.ToLower(value)
	}
	return false // a tag that nobody has
}

// parseBytes reads 1024, 16kB, 10MB, 1GB or 1TB: PostgreSQL's units, each 1,024 of the one before, in any case.
func parseBytes(text string) (int64, error) {
	number, unit := text, int64(1)
	for i, name := range []string{"kb", "mb", "gb", "tb"} {
		if rest, ok := strings.CutSuffix(strings.ToLower(text), name); ok {
			number, unit = strings.TrimSpace(rest), int64(1)<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("lag=%q: want bytes, or a number with kB, MB, GB or TB", text)
	}
	return n * unit, nil
}
