package core

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// Plan is what to do now, in order. The first step that fails ends the tick; the
// next tick decides again from facts. An empty plan means: wait, look again.
type Plan struct {
	Steps []Step `json:"steps,omitempty"`
}

// StepKind names an action; act has one file for each.
type StepKind string

// The steps. Jobs (marked) are started by act and observed by later ticks.
const (
	StepPutLease     StepKind = "put_lease"     // take, renew, release or hand over: by compare-and-swap
	StepVouch        StepKind = "vouch"         // ask every other member to judge our lease as if it had just been renewed
	StepPutCluster   StepKind = "put_cluster"   // record the system identifier, once
	StepPutOperation StepKind = "put_operation" // next phase of the operation
	StepPutRequest   StepKind = "put_request"   // ask a member, or write our request's phase
	StepEndRequest   StepKind = "end_request"   // delete our request
	StepFence        StepKind = "fence"         // kill every process of the instance
	StepDisarm       StepKind = "disarm"        // a standby needs no deadline
	StepStart        StepKind = "start"         // postgres, as standby or as primary
	StepStop         StepKind = "stop"          // fast
	StepPromote      StepKind = "promote"
	StepConfigure    StepKind = "configure" // render the owned files and reload
	StepMarkGood     StepKind = "mark_good" // remember the parameters that work
	StepCreateSlot   StepKind = "create_slot"
	StepDropSlot     StepKind = "drop_slot"
	StepInit         StepKind = "init"       // job: initdb, once in the cluster's life
	StepRoles        StepKind = "roles"      // pgherd's own roles
	StepClone        StepKind = "clone"      // job
	StepRewind       StepKind = "rewind"     // job
	StepCheckpoint   StepKind = "checkpoint" // job
	StepDropFork     StepKind = "drop_fork"  // remove a saved fork, or data that was set aside
)

// Guard is checked again right before the effect.
type Guard struct {
	Term     uint64  `json:"term,omitempty"`     // refuse when a newer term was seen
	Deadline Instant `json:"deadline,omitempty"` // refuse at or after it; 0: none
}

// Step is one action as data. Fields that a kind does not need are zero.
type Step struct {
	Kind      StepKind       `json:"kind"`
	Guard     Guard          `json:"guard,omitzero"`
	Why       Reason         `json:"why"`
	Lease     *LeaseRecord   `json:"lease,omitempty"`
	Vouch     *Vouch         `json:"vouch,omitempty"`
	Cluster   *ClusterRecord `json:"cluster,omitempty"`
	Operation *Operation     `json:"operation,omitempty"`
	Request   *Request       `json:"request,omitempty"`
	Expect    int64          `json:"expect,omitempty"` // revision for the store's compare-and-swap
	Member    string         `json:"member,omitempty"` // source of a clone or rewind; target of a request
	Slot      string         `json:"slot,omitempty"`
	Standby   bool           `json:"standby,omitempty"`
	After     bool           `json:"after,omitempty"`    // of a stop: only when what stands before it in the plan has succeeded
	Timeline  wal.Timeline   `json:"timeline,omitempty"` // of a promotion: what the new one is to be called
	ID        string         `json:"id,omitempty"`       // of a job, to recognise its end; of the fork to drop
	Fork      *Fork          `json:"fork,omitempty"`     // of a clone or rewind: what is saved before anything is replaced
	Conf      *Conf          `json:"conf,omitempty"`
}

// Fork says what of a member's WAL the primary's history does not have: all that its own,
// now on Timeline, has after From.
type Fork struct {
	From     wal.Position `json:"from,omitzero"` // zero: the two have nothing in common that is known
	Timeline wal.Timeline `json:"timeline"`
	Acked    bool         `json:"acked,omitempty"` // it may hold commits that clients were told of
}

// Conf is the configuration that pgherd owns on this member.
type Conf struct {
	Follow  string            `json:"follow,omitempty"` // stream from this member; empty: from nobody
	Host    string            `json:"host,omitempty"`   // of Follow
	Port    int               `json:"port,omitempty"`
	Sync    SyncSet           `json:"sync,omitzero"` // ANY k (members)
	Params  map[string]string `json:"params,omitempty"`
	HBA     []spec.HBARule    `json:"hba,omitempty"`
	Hold    bool              `json:"hold,omitempty"`    // no clients: only pgherd itself and replication get in
	Members []string          `json:"members,omitempty"` // whose certificates may replicate
	Poolers []string          `json:"poolers,omitempty"` // whose certificates may look up roles for clients
}

// Key is equal for equal content. (Every tick asks for it: what it allocates was a tenth of the
// time that deciding takes.)
func (c Conf) Key() string {
	var room [512]byte
	key := append(room[:0], c.Follow...)
	part := func(text string) { key = append(append(key, 0), text...) }
	part(c.Host)
	part(strconv.Itoa(c.Port))
	part(c.Sync.text())
	part(strconv.FormatBool(c.Hold))
	for _, list := range [][]string{c.Members, c.Poolers} {
		for _, name := range list {
			part(name)
		}
		part("") // its end
	}
	for _, rule := range c.HBA {
		part(fmt.Sprint(rule))
	}
	part("")
	names := make([]string, 0, 32)
	for name := range c.Params {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		part(name)
		part(c.Params[name])
	}
	return string(key)
}

// Disruptive says whether the step interrupts or replaces this member's PostgreSQL.
func (s Step) Disruptive() bool {
	return slices.Contains([]StepKind{StepFence, StepStart, StepStop, StepPromote, StepInit, StepClone, StepRewind}, s.Kind)
}

// urgency orders a plan: a fence before a stop before everything else.
func (s Step) urgency() int {
	if s.After {
		return -1
	}
	return slices.Index([]StepKind{StepStop, StepFence}, s.Kind)
}

// Memory is what a member remembers between ticks. Losing it may delay, never permit.
type Memory struct {
	Proof            SyncProof          `json:"proof,omitzero"`
	Unconfirmed      Unconfirmed        `json:"unconfirmed,omitzero"`
	HoldLSN          wal.LSN            `json:"hold_lsn,omitempty"` // what standbys must have before clients get in
	VacantSince      Instant            `json:"vacant_since,omitempty"`
	VacantTerm       uint64             `json:"vacant_term,omitempty"`
	Handed           Handed             `json:"handed,omitzero"`
	Vain             string             `json:"vain,omitempty"`              // the operation whose candidate this member went ahead to, and got nothing
	Failures         map[string]Failure `json:"failures,omitempty"`          // by step kind, or givenUp
	SeenBad          map[string]Instant `json:"seen_bad,omitempty"`          // since when a standby is missing, or a condition holds
	LedWell          bool               `json:"led_well,omitempty"`          // for long enough to forget the lease's flaps
	RejectedRevision int64              `json:"rejected_revision,omitempty"` // spec revision under which PostgreSQL did not start
}

func (m *Memory) failed(kind string, f Failure) {
	if m.Failures == nil { // most members never fail at anything
		m.Failures = map[string]Failure{}
	}
	m.Failures[kind] = f
}

// SyncProof remembers at which position a set of sync names was in effect: a standby
// that has flushed it has every commit that was acknowledged before. It holds only
// while the set stays in effect without a break.
type SyncProof struct {
	Names string  `json:"names,omitempty"`
	Since Instant `json:"since,omitempty"` // in effect without a break since
	On    bool    `json:"on,omitempty"`    // see switchedOn
	LSN   wal.LSN `json:"lsn,omitempty"`   // sampled settleTime later: backends read new settings one by one
}

// Unconfirmed is the WAL that was written by then, and has not been confirmed by enough standbys since.
type Unconfirmed struct {
	LSN   wal.LSN `json:"lsn,omitempty"`
	Since Instant `json:"since,omitempty"`
}

// Failure counts attempts in a row.
type Failure struct {
	Count int     `json:"count"`
	At    Instant `json:"at"`
	Job   Instant `json:"job,omitempty"` // EndedAt or ExitedAt that was counted
}

// Report explains the decision. Every tick in an unhealthy state has a reason.
type Report struct {
	Role       string      `json:"role"` // primary, standby or witness: what this member is to be
	Term       uint64      `json:"term"`
	Beat       uint64      `json:"beat"`              // of the lease judged; with Term it names one write of the lease
	Trusted    Instant     `json:"trusted,omitempty"` // until when the lease is ours
	Vacant     bool        `json:"vacant,omitempty"`  // see Peer.Vacant
	Rejected   bool        `json:"rejected,omitempty"`
	Unwatched  bool        `json:"unwatched,omitempty"` // must not lead: its watchdog is required and cannot be had
	Unwell     bool        `json:"unwell,omitempty"`    // must not be chosen: its disks do not take a small write
	Reasons    []Reason    `json:"reasons,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	WakeAt     Instant     `json:"wake_at,omitempty"` // decide again no later than this
}
