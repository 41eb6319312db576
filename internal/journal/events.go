package journal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/wal"
)

// Event is one thing that happened, for people and scripts.
type Event struct {
	At       time.Time     `json:"at"`
	Member   string        `json:"member"` // who saw or did it
	Code     string        `json:"code"`   // stable: see below, or a condition's or step's code
	Severity core.Severity `json:"severity"`
	Text     string        `json:"text"`

	Timeline wal.Timeline `json:"timeline,omitempty"` // of EventOpen

	// Operation is the id of the change that this tells of, as its asker was given it, and Phase how far it has come: one of
	// core's phases, or PhaseUnknown.
	Operation string `json:"operation,omitempty"`
	Phase     string `json:"phase,omitempty"`

	// Shared says that every member sees this (it comes from the cluster's records),
	// so that a list of several members' events shows it once.
	Shared bool `json:"shared,omitempty"`
}

// PhaseUnknown is that of a change whose writing had no answer: it may have taken effect, or may yet.
const PhaseUnknown = "unknown"

// Codes of events besides those made of a step ("promote_started", "step_failed") or of a
// condition ("condition_raised", "condition_cleared").
const (
	EventLeader       = "leader_changed"
	EventReleased     = "lease_released"
	EventSync         = "sync_set_changed"
	EventOperation    = "operation"
	EventRequest      = "request"     // of one member: to restart, or to clone its data anew
	EventCertificate  = "certificate" // of a switchover: see core.Certificate
	EventPaused       = "paused"
	EventResumed      = "resumed"
	EventSpec         = "spec_changed"
	EventMemberJoined = "member_joined"
	EventMemberGone   = "member_removed"
	EventOpen         = "primary_open"
	EventStreaming    = "streaming"
	EventExited       = "postgres_ended"
	EventJobDone      = "job_done"
	EventJobFailed    = "job_failed"
	EventStepFailed   = "step_failed"
	EventRaised       = "condition_raised"
	EventCleared      = "condition_cleared"
	EventRecovery     = "store_recovery" // told by the agent: see Journal.Tell
	EventAudit        = "audit"          // who asked this member's API for a change that was accepted
	EventForkSaved    = "fork_saved"
	EventForkNamed    = "fork_named"
	EventLoss         = "commits_lost"
	EventLossSettled  = "commits_lost_settled"
)

// deriver collects the events between two entries.
type deriver struct {
	was, is Entry
	events  []Event
}

// derive says what changed between two ticks.
func derive(was, is Entry) []Event {
	d := &deriver{was: was, is: is}
	d.records()
	d.instance()
	d.conditions()
	return d.events
}

func (d *deriver) add(code string, severity core.Severity, format string, args ...any) {
	d.events = append(d.events, Event{At: d.is.At, Member: d.is.View.Self, Code: code, Severity: severity, Text: fmt.Sprintf(format, args...)})
}

func (d *deriver) shared(code string, severity core.Severity, format string, args ...any) {
	d.add(code, severity, format, args...)
	d.events[len(d.events)-1].Shared = true
}

// records compares the cluster's agreed state.
func (d *deriver) records() {
	was, is := d.was.View.Store, d.is.View.Store
	if !was.Known || !is.Known {
		return
	}
	d.lease(was.Lease, is.Lease)
	if op := is.Operation; op != nil && (was.Operation == nil || was.Operation.ID != op.ID || was.Operation.Phase != op.Phase) {
		d.operation(*op)
	}
	if op := is.Operation; op != nil && op.Certificate.Whole && (was.Operation == nil || was.Operation.ID != op.ID || !was.Operation.Certificate.Whole) {
		d.shared(EventCertificate, core.Info, "%s", certificateText(*op))
		d.of(op.ID, op.Phase)
	}
	if is.SpecRevision != was.SpecRevision && was.SpecRevision != 0 {
		d.shared(EventSpec, core.Info, "the cluster's spec is at revision %d now", is.SpecRevision)
	}
	if is.Paused && !was.Paused {
		d.shared(EventPaused, core.Warning, "the cluster is paused")
	}
	if was.Paused && !is.Paused {
		d.shared(EventResumed, core.Info, "the cluster is not paused any more")
	}
	d.members(was.Members, is.Members)
}

func (d *deriver) lease(was, is core.LeaseRecord) {
	switch {
	case is.Holder != "" && !is.Released && (is.Term != was.Term || is.Holder != was.Holder || was.Released):
		d.shared(EventLeader, core.Warning, "%s leads term %d", is.Holder, is.Term)
	case is.Released && !was.Released:
		d.shared(EventReleased, core.Warning, "%s released the lease of term %d; it had written up to %s", is.Holder, is.Term, is.Final)
	}
	if !sameSync(is.Sync, was.Sync) && is.Holder != "" {
		d.shared(EventSync, core.Info, "commits are kept on %s", syncText(is))
	}
	for _, l := range is.Lost {
		if !slices.Contains(was.Lost, l) {
			d.shared(EventLoss, core.Warning, "%s", l.Text(is.Holder))
		}
	}
	for _, l := range was.Lost {
		if !slices.Contains(is.Lost, l) {
			d.shared(EventLossSettled, core.Info, "%s is back, or gone for good: what only it had after term %d and could still be read is in `pgherd forks %s`; of data that it had lost, or that was not to be kept, nobody can say more", l.Member, l.Term, l.Member)
		}
	}
}

// kept tells of a saved fork, and again when its tables have names.
func (d *deriver) kept(was, is core.Kept) {
	switch {
	case is.Newest != was.Newest && (is.Newest > was.Newest || is.Count > was.Count): // the name is a time, and that may be set back
		d.add(EventForkSaved, core.Warning, "%s", is.Text)
	case is.Newest == was.Newest && is.Named && !was.Named:
		d.add(EventForkNamed, core.Info, "%s", is.Text)
	}
}

func syncText(l core.LeaseRecord) string {
	if len(l.Sync.Members) == 0 {
		return l.Holder + " only"
	}
	return fmt.Sprintf("%s and %d of %s", l.Holder, l.Sync.K, strings.Join(l.Sync.Members, ", "))
}

func sameSync(a, b core.SyncSet) bool { return a.K == b.K && slices.Equal(a.Members, b.Members) }

func (d *deriver) operation(op core.Operation) {
	what := op.Kind
	if op.From != "" {
		what += " from " + op.From
	}
	if op.To != "" {
		what += " to " + op.To
	}
	severity := core.Info
	if op.Phase == core.PhaseAborted {
		severity = core.Warning
	}
	text := fmt.Sprintf("%s: %s", what, op.Phase)
	if op.Text != "" {
		text += ": " + op.Text
	}
	d.shared(EventOperation, severity, "%s", text)
	d.of(op.ID, op.Phase)
}

// of names the change that the newest event tells of.
func (d *deriver) of(operation, phase string) {
	e := &d.events[len(d.events)-1]
	e.Operation, e.Phase = operation, phase
}

// certificateText is the certificate in one line.
func certificateText(op core.Operation) string {
	c, b := op.Certificate, strings.Builder{}
	by := op.By
	if op.Reason != "" {
		by += " (" + op.Reason + ")"
	}
	fmt.Fprintf(&b, "switchover %s by %s: %s to %s in term %d", op.ID, by, op.From, op.To, op.Term)
	if c.Shutdown != 0 {
		fmt.Fprintf(&b, "; shutdown checkpoint %s, received %s", c.Shutdown, c.Received)
	}
	fmt.Fprintf(&b, "; ahead of it %.0f ms, hold %.0f ms, stop %.0f ms, promotion %.0f ms", c.AheadMS, c.HoldMS, c.StopMS, c.PromoteMS)
	clients, held, dropped := 0, 0.0, 0
	for _, p := range c.Poolers {
		clients, held, dropped = clients+p.Clients, max(held, p.HeldMS), dropped+p.Errors
	}
	if len(c.Poolers) > 0 {
		fmt.Fprintf(&b, "; %d endpoints held %d clients for at most %.0f ms, %d dropped", len(c.Poolers), clients, held, dropped)
	}
	if len(c.Unheld) > 0 {
		fmt.Fprintf(&b, "; not held: the clients of %s", strings.Join(c.Unheld, ", "))
	}
	if c.Proves() {
		b.WriteString("; commits lost: 0")
	}
	return b.String()
}

func (d *deriver) members(was, is []core.MemberRecord) {
	has := func(list []core.MemberRecord, name string) bool {
		return slices.ContainsFunc(list, func(m core.MemberRecord) bool { return m.Name == name })
	}
	for _, m := range is {
		if len(was) > 0 && !has(was, m.Name) {
			d.shared(EventMemberJoined, core.Info, "%s joined at %s", m.Name, m.Address)
		}
	}
	for _, m := range was {
		if !has(is, m.Name) {
			d.shared(EventMemberGone, core.Warning, "%s was removed", m.Name)
		}
	}
}

// instance compares this member's own server.
func (d *deriver) instance() {
	was, is := d.was.View.Local, d.is.View.Local
	d.kept(was.Kept, is.Kept)
	if is.Instance.Primary && !was.Instance.Primary {
		d.add(EventOpen, core.Info, "PostgreSQL accepts writes on timeline %d", is.Instance.Timeline)
		d.events[len(d.events)-1].Timeline = is.Instance.Timeline
	}
	if is.Instance.Streaming && (!was.Instance.Streaming || is.Instance.Follows != was.Instance.Follows) {
		d.add(EventStreaming, core.Info, "streams from %s on timeline %d", is.Instance.Follows, is.Instance.Timeline)
	}
	if w := is.Warden; w.ExitedAt != 0 && w.ExitedAt != was.Warden.ExitedAt {
		severity, text := core.Warning, w.ExitText
		if text == "" {
			severity, text = core.Info, "a clean stop"
		}
		d.add(EventExited, severity, "PostgreSQL ended: %s", text)
	}
	if j := is.Job; j.EndedAt != 0 && j.EndedAt != was.Job.EndedAt {
		if j.Err != "" {
			d.add(EventJobFailed, core.Warning, "%s failed: %s", j.Kind, j.Err)
		} else {
			d.add(EventJobDone, core.Info, "%s is done", j.Kind)
		}
	}
}

func (d *deriver) conditions() {
	has := func(list []core.Condition, code core.Code) bool {
		return slices.ContainsFunc(list, func(c core.Condition) bool { return c.Code == code })
	}
	for _, c := range d.is.Report.Conditions {
		if !has(d.was.Report.Conditions, c.Code) {
			d.add(EventRaised, c.Severity, "%s: %s", c.Code, c.Text)
		}
	}
	for _, c := range d.was.Report.Conditions {
		if !has(d.is.Report.Conditions, c.Code) {
			d.add(EventCleared, core.Info, "%s is over", c.Code)
		}
	}
}

// told are the steps worth an event of their own; what the others do shows in the records.
var told = map[core.StepKind]core.Severity{
	core.StepFence: core.Error, core.StepPromote: core.Warning, core.StepStart: core.Info, core.StepStop: core.Info,
	core.StepInit: core.Info, core.StepClone: core.Warning, core.StepRewind: core.Warning, core.StepDropFork: core.Info,
}

// stepEvents tells what an ended tick did, and what failed. Nothing after a failed
// step was tried. What the tick before did for the same reason is not told again: a
// stop that is asked for each tick until it has happened is one event.
func stepEvents(e Entry, before []core.Step) []Event {
	d := &deriver{is: e}
	failed, _, _ := strings.Cut(e.Outcome, ":")
	for _, s := range e.Plan.Steps {
		if e.Outcome != "" && string(s.Kind) == failed {
			break
		}
		d.request(s)
		severity, ok := told[s.Kind]
		if ok && !slices.ContainsFunc(before, func(b core.Step) bool { return sameStep(b, s) }) {
			d.add(string(s.Kind), severity, "%s: %s", stepText(s), s.Why.Text)
		}
	}
	if e.Outcome != "" {
		d.add(EventStepFailed, core.Warning, "%s", e.Outcome)
	}
	return d.events
}

// request tells how far this member has come with what it was asked for.
func (d *deriver) request(s core.Step) {
	r := d.is.View.Store.Request
	switch {
	case r == nil:
	case s.Kind == core.StepPutRequest && s.Member == d.is.View.Self && s.Request != nil:
		d.add(EventRequest, core.Info, "%s: %s", r.Kind, s.Request.Phase)
		d.of(r.ID, s.Request.Phase)
	case s.Kind == core.StepEndRequest && s.Why.Code == core.RequestDone:
		d.add(EventRequest, core.Info, "%s: %s", r.Kind, core.PhaseDone)
		d.of(r.ID, core.PhaseDone)
	case s.Kind == core.StepEndRequest:
		d.add(EventRequest, core.Warning, "%s: %s: %s", r.Kind, core.PhaseAborted, s.Why.Text)
		d.of(r.ID, core.PhaseAborted)
	}
}

func sameStep(a, b core.Step) bool {
	return a.Kind == b.Kind && a.Member == b.Member && a.Why.Code == b.Why.Code && (a.Kind != core.StepDropFork || a.ID == b.ID)
}

func stepText(s core.Step) string {
	switch {
	case s.Kind == core.StepDropFork:
		return "drop " + s.ID
	case s.Member != "":
		return fmt.Sprintf("%s from %s", s.Kind, s.Member)
	case s.Kind == core.StepStart && s.Standby:
		return "start as standby"
	case s.Kind == core.StepStart:
		return "start as primary"
	}
	return string(s.Kind)
}
