package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// OutcomePath, followed by an id, is where the outcome of a change is looked up.
const OutcomePath = "/v1/operations/"

// States of a change.
const (
	OutcomePlanned = "planned" // for a time to come
	OutcomeRunning = "running"
	OutcomeDone    = "done"
	OutcomeFailed  = "failed"  // taken back, refused by who was asked, or written in part only
	OutcomeUnknown = "unknown" // its writing had no answer and nothing shows that it took effect, or nothing shows how it ended
)

// Outcome answers GET /v1/operations/{id}: what became of a change that was asked for.
type Outcome struct {
	ID      string          `json:"id"`
	State   string          `json:"state"`
	Phase   string          `json:"phase,omitempty"` // of a switchover, restart, failover or reinit
	Text    string          `json:"text"`            // the newest word on it
	By      string          `json:"by,omitempty"`    // who asked, where a record says so
	At      time.Time       `json:"at,omitzero"`     // of the first event
	Events  []journal.Event `json:"events"`          // that tell of it, oldest first
	Missing []string        `json:"missing,omitempty"`

	Stale bool `json:"stale,omitempty"` // the store did not answer: by what was known before, and by what members wrote down

	Operation *core.Operation `json:"operation,omitempty"` // while it is the newest one: with its checks and certificate
}

// getOutcome looks into the records first, then into what all members wrote down.
func (s *Server) getOutcome(r *http.Request, _ string) (any, error) {
	id := r.PathValue("id")
	v, snapshot, err := s.read(r.Context())
	if err != nil {
		v, _ = s.readAnyway(r.Context())
	}
	others := func(e journal.Event) bool { return e.Operation != id }
	all := Events{Events: slices.DeleteFunc(s.ownEvents(eventsMax), others)}
	if s.b.Peers != nil {
		all = s.allEvents(r.Context(), v.Members, eventsMax, others)
	}
	o := Outcome{ID: id, Events: all.Events, Missing: all.Missing, Stale: err != nil}
	if op := v.Operation; op != nil && op.ID == id {
		o.Operation, o.By = op, op.By
		o.State, o.Phase, o.Text = stateOf(op.Phase), op.Phase, op.Text
	} else if q, open := requestOf(snapshot, id); open {
		o.State, o.Phase, o.Text, o.By = OutcomeRunning, q.Phase, q.Kind, q.By
	}
	return o, o.fromEvents()
}

// requestOf finds what a member was asked for and has not done yet.
func requestOf(snapshot store.Snapshot, id string) (q core.Request, open bool) {
	for key, e := range snapshot.Entries {
		if strings.HasPrefix(key, records.RequestPrefix) && json.Unmarshal(e.Value, &q) == nil && q.ID == id {
			return q, true
		}
	}
	return core.Request{}, false
}

// fromEvents says what the records do not.
func (o *Outcome) fromEvents() error {
	if len(o.Events) == 0 && o.State == "" {
		return refuse(http.StatusNotFound, "no_such_operation", "`pgherd events` shows what is remembered", "no change with the id %q is remembered", o.ID)
	}
	if len(o.Events) == 0 {
		return nil
	}
	o.At = o.Events[0].At
	e := o.newest()
	if o.State != "" && !(o.Stale && ended(e.Phase)) { // an old copy of the store knows no end
		return nil
	}
	o.State, o.Text = stateOf(e.Phase), e.Text
	if e.Code != journal.EventAudit {
		o.Phase = e.Phase
	}
	if o.State == OutcomeRunning && !o.Stale { // no record of it is open
		o.State, o.Text = OutcomeUnknown, "it is not open any more, and how it ended is not written down; last: "+e.Text
	}
	return nil
}

func ended(phase string) bool { return phase == core.PhaseDone || phase == core.PhaseAborted }

// newest is the last event of who carried it out, else that of who was asked: an audit is written after its record, and may be
// younger than what came of it.
func (o *Outcome) newest() journal.Event {
	last := o.Events[len(o.Events)-1]
	for _, code := range []string{journal.EventOperation, journal.EventRequest} {
		for _, e := range slices.Backward(o.Events) {
			if e.Code == code {
				return e
			}
		}
	}
	return last
}

func stateOf(phase string) string {
	switch phase {
	case core.PhaseDone:
		return OutcomeDone
	case core.PhaseAborted:
		return OutcomeFailed
	case core.PhaseScheduled:
		return OutcomePlanned
	case journal.PhaseUnknown:
		return OutcomeUnknown
	}
	return OutcomeRunning
}

// Outcome asks what became of a change.
func (c *Client) Outcome(ctx context.Context, id string) (o Outcome, err error) {
	return o, c.call(ctx, http.MethodGet, OutcomePath+id, nil, &o)
}
