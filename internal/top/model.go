package top

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/wal"
)

const (
	rates      = 40 // the last ones, one a second
	eventsKept = 200
)

// Model is what was told. The zero value knows nothing yet.
type Model struct {
	status api.ClusterStatus
	events []journal.Event
	rates  []float64 // bytes of WAL a second on the primary, the newest last

	leader  string
	lsn     wal.LSN
	at      time.Time
	begun   time.Time // when the operation under way was seen first
	doing   string    // its ID
	trouble string
}

// Status takes a new status of the cluster.
func (m *Model) Status(s api.ClusterStatus) {
	m.trouble = ""
	m.rate(s)
	switch {
	case s.Operation == nil:
		m.doing = ""
	case s.Operation.ID != m.doing:
		m.doing, m.begun = s.Operation.ID, s.At
	}
	m.status = s
}

// Trouble says why nothing new is told; what was told last remains.
func (m *Model) Trouble(text string) { m.trouble = text }

// Event takes one that has just happened, or an older one before the first.
func (m *Model) Event(e journal.Event) {
	m.events = append(m.events, e)
	m.events = m.events[max(0, len(m.events)-eventsKept):]
}

// rate is taken once a second: statuses come with each tick, and ticks in bursts.
func (m *Model) rate(s api.ClusterStatus) {
	i := slices.IndexFunc(s.Members, func(o api.MemberStatus) bool { return o.Role == api.RolePrimary })
	if i < 0 || s.Members[i].LSN == 0 {
		return
	}
	p := s.Members[i]
	took := s.At.Sub(m.at)
	if p.Name == m.leader && took < time.Second {
		return
	}
	if p.Name == m.leader && took < 10*time.Second {
		m.rates = append(m.rates, float64(p.LSN.Sub(m.lsn))/took.Seconds())
		m.rates = m.rates[max(0, len(m.rates)-rates):]
	}
	m.leader, m.lsn, m.at = p.Name, p.LSN, s.At
}
