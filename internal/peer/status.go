package peer

import "github.com/pgherd/pgherd/internal/core"

// Status is what a member says of itself at GET /v1/member: to other members by
// mutual TLS, to local commands by the unix socket.
type Status struct {
	Name      string        `json:"name"`
	Ordinal   int           `json:"ordinal"` // with Name it names one joining
	Version   string        `json:"version"`
	Witness   bool          `json:"witness,omitempty"`
	Instance  core.Instance `json:"instance"`
	Job       core.Job      `json:"job"`
	Term      uint64        `json:"term"`
	Beat      uint64        `json:"beat"`
	Vacant    bool          `json:"vacant"`
	Rejected  bool          `json:"rejected"`
	Stopping  bool          `json:"stopping,omitempty"`
	Unwatched bool          `json:"unwatched,omitempty"` // its watchdog is required and cannot be had
	Unwell    bool          `json:"unwell,omitempty"`    // its disks do not take a small write

	Generation uint64 `json:"generation,omitempty"` // of the store that it last read; see core.ClusterRecord
	Belongs    uint64 `json:"belongs,omitempty"`    // generation that it belongs or is promised to
	Founding   uint64 `json:"founding,omitempty"`   // generation that it is asking others to leave theirs for
	Share      string `json:"share,omitempty"`      // what it has of the store: a rebuild.Share

	AgentPID    int `json:"agent_pid"`
	WardenPID   int `json:"warden_pid"`
	PostgresPID int `json:"postgres_pid"`

	CommitMS float64 `json:"commit_ms,omitempty"` // of a primary: how long its own small commits take, the last ones counting most

	// The last decision, for `pgherd explain` and `pgherd status`.
	Decision Decision `json:"decision"`
}

// Seen is the member as a decision sees it: it answered just now. Who asked a while ago says so in Age and Err.
func (s *Status) Seen() core.Peer {
	return core.Peer{
		Name: s.Name, Known: true, Instance: s.Instance, Job: s.Job, Term: s.Term, Beat: s.Beat,
		Vacant: s.Vacant, Rejected: s.Rejected, Stopping: s.Stopping, Unwatched: s.Unwatched, Unwell: s.Unwell,
	}
}

// Decision is a tick's outcome in words. Times are RFC 3339, for people only.
type Decision struct {
	At         string        `json:"at"`
	Role       string        `json:"role"`
	Steps      []StepText    `json:"steps,omitempty"`
	Reasons    []core.Reason `json:"reasons,omitempty"`
	Conditions []Condition   `json:"conditions,omitempty"`
	Failed     string        `json:"failed,omitempty"` // the step that failed and its error
}

// StepText is one step that was done.
type StepText struct {
	Step string      `json:"step"`
	Why  core.Reason `json:"why"`
}

// Condition is a core.Condition with its start as wall time.
type Condition struct {
	Code     core.Code     `json:"code"`
	Severity core.Severity `json:"severity"`
	Text     string        `json:"text"`
	Hint     string        `json:"hint,omitempty"`
	Since    string        `json:"since"`
}
