// Package snapshot is what a member knows at one moment: a decision of its loop, and what its parts have in memory.
// What is said of that outside, in Prometheus' words (internal/metrics) or in Patroni's documents (internal/patroni),
// follows from it alone.
//
// It must not read the store or PostgreSQL, decide anything, or hold up who decides.
package snapshot

import (
	"net/url"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/health"
)

// Snapshot is what all of one answer follows from.
type Snapshot struct {
	health.Facts           // one decision of the loop, and the time now
	Wall         time.Time // the time now, for people
	Cluster      string    // its name
	Version      string    // pgherd's
	Vacant       bool      // this member judged that nobody holds the lease
	Server       Server
	Kept         []Kept
}

// Server is what PostgreSQL here said of itself besides core.Instance. Zero: it does not answer.
type Server struct {
	Version      int       // 150014 for 15.14
	ReplayPaused bool      // a standby that was told to replay no more
	ReplayedAt   time.Time // commit time of the last transaction that a standby replayed; zero: none since its start
	Archive      bool      // restore_command is set
}

// Kept sums up saved forks of one kind on this member.
type Kept struct {
	Acked        bool // clients may have been told of what they hold
	Forks        int
	Bytes        int64 // of WAL
	Transactions int   // committed
}

// Yes asks what a load balancer would be answered.
func (s *Snapshot) Yes(path string) bool {
	yes, err := health.Answer(path, url.Values{}, s.Facts)
	return yes && err == nil
}

func (s *Snapshot) Instance() *core.Instance { return &s.View.Local.Instance }

// Running: PostgreSQL answered when it was asked last, and the loop does not stand still.
func (s *Snapshot) Running() bool { return s.Yes("/health") }

// Standby is one that runs here.
func (s *Snapshot) Standby() bool { return s.Running() && !s.Instance().Primary }

// Leads: the newest lease known is ours; whether it is trusted is another question.
func (s *Snapshot) Leads() bool {
	l := s.View.Store.Lease
	return l.Holder != "" && l.Holder == s.View.Self && !l.Released
}

func (s *Snapshot) Witness() bool {
	return slices.ContainsFunc(s.View.Store.Members, func(m core.MemberRecord) bool { return m.Name == s.View.Self && m.Witness })
}

func (s *Snapshot) Raised(code core.Code) bool {
	return slices.ContainsFunc(s.Report.Conditions, func(c core.Condition) bool { return c.Code == code })
}

// Ago is how long before now an instant was, in seconds.
func (s *Snapshot) Ago(i core.Instant) float64 { return max(0, s.Now.Sub(i).Seconds()) }

// At turns an instant of this machine into a time; zero: never.
func (s *Snapshot) At(i core.Instant) time.Time {
	if i == 0 {
		return time.Time{}
	}
	return s.Wall.Add(-s.Now.Sub(i))
}

// Vacancy: nobody holds the lease, as far as is known here.
func (s *Snapshot) Vacancy() bool {
	l := s.View.Store.Lease
	return !s.View.Store.Known || l.Holder == "" || l.Released || s.Vacant
}

// Reachable: the member has answered as recently as decisions rest on.
func Reachable(p core.Peer) bool { return p.Known && p.Err == "" && p.Age < reachableAge }

const reachableAge = 3 * time.Second
