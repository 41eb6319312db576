package endpoint

import (
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/route"
)

// publish tells the cluster, and whoever asks this host.
func (l *Loop) publish(plan route.Plan, rw, ro seen) {
	plan.Conditions = append(plan.Conditions, l.ill(rw, ro)...)
	r := &plan.Record
	r.Name, r.Address, r.RWPort, r.ROPort = l.c.Name, l.c.Address, l.c.RWPort, l.c.ROPort
	if r.Version = rw.version; r.Version == "" {
		r.Version = ro.version
	}
	var texts []string
	for _, c := range plan.Conditions {
		texts = append(texts, c.Text)
	}
	r.Text = strings.Join(texts, "; ")
	l.mu.Lock()
	was := l.newest.Record.Hold
	l.newest = plan
	known := l.known
	l.mu.Unlock()
	if is := r.Hold; l.c.Told != nil && is != nil && (was == nil || was.State != is.State || was.Operation != is.Operation) {
		l.c.Told()
	}
	if known {
		l.recorder.set(*r)
	}
}

// ill are the conditions of the poolers themselves.
func (l *Loop) ill(rw, ro seen) (list []core.Condition) {
	if rw.missing || ro.missing {
		text := rw.err
		if text == "" {
			text = ro.err
		}
		return []core.Condition{core.NewCondition(core.CondPoolerMissing, l.since(core.CondPoolerMissing), "%s", text)}
	}
	for _, one := range []struct {
		name string
		s    seen
	}{{l.rw.name, rw}, {l.ro.name, ro}} {
		if one.s.err != "" {
			list = append(list, core.NewCondition(core.CondPoolerDown, l.since(core.CondPoolerDown), "the %s endpoint: %s", one.name, one.s.err))
		}
	}
	return list
}

// since is when a condition of before began, or now.
func (l *Loop) since(code core.Code) core.Instant {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.newest.Conditions {
		if c.Code == code {
			return c.Since
		}
	}
	return l.c.Now()
}

// Conditions are those of now.
func (l *Loop) Conditions() []core.Condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest.Conditions
}

// Hold is this host's part in the newest operation that asked for one, as its record has it, or will once it is written; nil: it has none.
func (l *Loop) Hold() *core.PoolerHold {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest.Record.Hold
}

// Plan is the newest decision, with its reasons.
func (l *Loop) Plan() route.Plan {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest
}
