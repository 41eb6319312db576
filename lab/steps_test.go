//go:build lab

package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
)

// primary gives the one member that accepts writes.
func (l *Lab) primary() *cluster.Member {
	l.T.Helper()
	p := l.Cluster.Primary()
	if p == nil {
		l.T.Fatalf("not one primary: %s", l.Cluster.Words())
	}
	return p
}

// last lets a fault last. Its duration is part of the fault: it must be longer than what it attacks.
func (l *Lab) last(d time.Duration) { time.Sleep(d) }

// sees waits until this member's status shows a condition (N6), of whichever member.
func (l *Lab) sees(m *cluster.Member, limit time.Duration, code core.Code) {
	l.T.Helper()
	l.seesAny(m, limit, code)
}

func (l *Lab) seesAny(m *cluster.Member, limit time.Duration, codes ...core.Code) {
	l.T.Helper()
	l.Cluster.Wait(limit, fmt.Sprintf("%s shows %v", m.Name, codes), func() bool {
		// The command line waits for longer than a status that is asked for twenty times a second: without
		// a store the answer takes a second or two.
		var s api.ClusterStatus
		err := json.Unmarshal([]byte(m.Run("status", "--json").Stdout), &s)
		return err == nil && slices.ContainsFunc(codes, func(code core.Code) bool { return cluster.Has(s, code) })
	})
	l.T.Logf("%6.2f s  %s shows %v", time.Since(l.Began).Seconds(), m.Name, codes)
}

// tells waits until the events since the scenario's begin have one that holds all these words (N6).
func (l *Lab) tells(limit time.Duration, words ...string) {
	l.T.Helper()
	l.Cluster.Wait(limit, "an event with "+strings.Join(words, ", "), func() bool {
		for _, e := range l.Cluster.Events(l.Began) {
			line, all := fmt.Sprintf("%s %s: %s", e.Member, e.Code, e.Text), true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				l.T.Logf("%6.2f s  event: %s", time.Since(l.Began).Seconds(), line)
				return true
			}
		}
		return false
	})
}

// remains fails unless that member leads without a break in its process.
func (l *Lab) remains(p *cluster.Member, postmaster int) {
	l.T.Helper()
	if now := l.Cluster.Primary(); now != p {
		l.T.Errorf("%s led; now: %s", p.Name, l.Cluster.Words())
	}
	if now := p.PID(cluster.Postmaster); now != postmaster {
		l.T.Errorf("the postmaster of %s was %d and is %d", p.Name, postmaster, now)
	}
}

// as runs SQL on a member as a client does, and must succeed.
func (l *Lab) as(m *cluster.Member, sql string, args ...any) string {
	l.T.Helper()
	v, err := m.Query(sql, args...)
	if err != nil {
		l.T.Fatalf("%s on %s: %v", sql, m.Name, err)
	}
	return v
}
