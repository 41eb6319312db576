package metrics

import (
	"net/url"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/health"
)

// Snapshot is what all gauges of one scrape follow from.
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

// yes asks what a load balancer would be answered.
func (s *Snapshot) yes(path string) bool {
	yes, err := health.Answer(path, url.Values{}, s.Facts)
	return yes && err == nil
}

func (s *Snapshot) instance() *core.Instance { return &s.View.Local.Instance }

// running: PostgreSQL answered when it was asked last, and the loop does not stand still.
func (s *Snapshot) running() bool { return s.yes("/health") }

// standby is one that runs here.
func (s *Snapshot) standby() bool { return s.running() && !s.instance().Primary }

// leads: the newest lease known is ours; whether it is trusted is another question.
func (s *Snapshot) leads() bool {
	l := s.View.Store.Lease
	return l.Holder == s.View.Self && !l.Released
}

func (s *Snapshot) witness() bool {
	return slices.ContainsFunc(s.View.Store.Members, func(m core.MemberRecord) bool { return m.Name == s.View.Self && m.Witness })
}

func (s *Snapshot) raised(code core.Code) bool {
	return slices.ContainsFunc(s.Report.Conditions, func(c core.Condition) bool { return c.Code == code })
}

// ago is how long before now an instant was, in seconds.
func (s *Snapshot) ago(i core.Instant) float64 { return max(0, s.Now.Sub(i).Seconds()) }

// epoch turns an instant of this machine into seconds since 1970; 0: never.
func (s *Snapshot) epoch(i core.Instant) float64 {
	if i == 0 {
		return 0
	}
	return seconds(s.Wall.Add(-s.Now.Sub(i)))
}

// seconds since 1970; 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
