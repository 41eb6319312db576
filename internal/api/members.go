package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

const removeVoterTimeout = 10 * time.Second

func (s *Server) postRequest(r *http.Request, by string) (any, error) {
	var request MemberRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	v, snapshot, err := s.read(r.Context())
	if err == nil {
		err = checkRequest(v, name, request.Kind)
	}
	if err != nil {
		return nil, err
	}
	if _, open := snapshot.Entries[records.RequestPrefix+name]; open {
		return nil, refuse(http.StatusConflict, "request_open", "wait for its end: `pgherd explain "+name+"`", "%s has an open request already", name)
	}
	return s.writeRequest(r.Context(), name, request.Kind, by)
}

func (s *Server) writeRequest(ctx context.Context, name, kind, by string) (any, error) {
	record := core.Request{ID: changeID(ctx), Kind: kind, Phase: core.PhaseRequested, By: by}
	if err := s.put(ctx, records.RequestPrefix+name, record, 0); err != nil {
		return nil, err
	}
	return Accepted{Kind: kind, Text: kind + " of " + name + " is requested"}, nil
}

func checkRequest(v core.StoreView, name, kind string) error {
	m, err := member(v, name)
	switch {
	case err != nil:
		return err
	case kind != core.RequestReinit && kind != core.RequestRestart:
		return badRequest("kind %q: want reinit or restart", kind)
	case m.Witness:
		return refuse(http.StatusConflict, "is_witness", "", "%s is a witness: it runs no PostgreSQL", name)
	case kind == core.RequestReinit && leader(v) == name:
		return refuse(http.StatusConflict, "is_primary", "`pgherd switchover` first", "%s is the primary: its data is the cluster's", name)
	case kind == core.RequestReinit && leader(v) == "":
		return refuse(http.StatusConflict, "no_leader", "`pgherd explain` says why nobody leads", "there is no primary to clone from, and %s may hold the newest data", name)
	}
	return nil
}

func (s *Server) deleteMember(r *http.Request, _ string) (any, error) {
	name := r.PathValue("name")
	v, snapshot, err := s.read(r.Context())
	if err == nil {
		err = checkRemoval(v, s.b.Members(), name)
	}
	if err != nil {
		return nil, err
	}
	if err := s.delete(r.Context(), records.MemberPrefix+name, snapshot.Entries[records.MemberPrefix+name].Revision); err != nil {
		return nil, err
	}
	s.dropRequest(r.Context(), name, snapshot)
	return s.afterRemoval(r.Context(), name)
}

// dropRequest takes the member's open request with it: a later member of that name would
// carry it out. That the removal itself is done stays true without it.
func (s *Server) dropRequest(ctx context.Context, name string, snapshot store.Snapshot) {
	key := records.RequestPrefix + name
	var err error
	for range 2 { // its phase may have gone on meanwhile
		e, open := snapshot.Entries[key]
		if !open {
			return
		}
		if err = s.delete(ctx, key, e.Revision); err == nil {
			s.tellDropped(name, e)
			return
		}
		if _, snapshot, err = s.read(ctx); err != nil {
			break
		}
	}
	s.b.Log.Warn("the request of a removed member may be left", "member", name, "error", err)
}

func (s *Server) tellDropped(name string, e store.Entry) {
	var r core.Request
	if json.Unmarshal(e.Value, &r) == nil {
		s.tell(journal.Event{Code: journal.EventRequest, Severity: core.Warning, Operation: r.ID, Phase: core.PhaseAborted,
			Text: fmt.Sprintf("%s of %s: %s: the member was removed", r.Kind, name, core.PhaseAborted)})
	}
}

// checkRemoval: never the primary, never the last one, and never such that the
// voters who are left have no majority among those who answer.
func checkRemoval(v core.StoreView, known map[string]peer.Status, name string) error {
	if _, err := member(v, name); err != nil {
		return err
	}
	if leader(v) == name {
		return refuse(http.StatusConflict, "is_primary", "`pgherd switchover` first", "%s is the primary", name)
	}
	if slices.Contains(v.Lease.Sync.Members, name) && !leads(v, known) {
		return refuse(http.StatusConflict, "needed_for_election", "wait for a leader: `pgherd status`", "%s may hold the newest commits, and nobody leads just now: its word is needed for the election", name)
	}
	voters, alive := 0, 0
	for _, m := range v.Members {
		if m.Name == name || voters == core.VotersMax {
			continue
		}
		voters++
		if _, ok := known[m.Name]; ok {
			alive++
		}
	}
	if voters == 0 {
		return refuse(http.StatusConflict, "last_member", "", "%s is the only member", name)
	}
	if alive <= voters/2 {
		return refuse(http.StatusConflict, "no_majority", "bring members back first, or remove one that is gone", "without %s only %d of %d voters answer: the cluster would stop", name, alive, voters)
	}
	return nil
}

// leads says whether the lease's holder is known to be the primary now.
func leads(v core.StoreView, known map[string]peer.Status) bool {
	holder := leader(v)
	return holder != "" && known[holder].Instance.Primary
}

func (s *Server) afterRemoval(ctx context.Context, name string) (any, error) {
	if s.b.RemoveVoter == nil {
		return Accepted{Text: name + " is removed"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeVoterTimeout)
	defer cancel()
	if err := s.b.RemoveVoter(ctx, name); err != nil {
		s.b.Log.Warn("a removed member still has its vote", "member", name, "error", err)
		return Accepted{Text: name + " is removed; its vote is not taken yet: " + err.Error()}, nil
	}
	return Accepted{Text: name + " is removed"}, nil
}

func (s *Server) postPause(r *http.Request, by string) (any, error) {
	_, snapshot, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	if _, paused := snapshot.Entries[records.KeyPause]; paused {
		return Accepted{Text: "the cluster is paused already"}, nil
	}
	pause := core.PauseRecord{By: by, At: s.b.Now().UTC().Format(time.RFC3339)}
	return Accepted{Text: "the cluster is paused: no failover, nothing is started or stopped"}, s.put(r.Context(), records.KeyPause, pause, 0)
}

func (s *Server) deletePause(r *http.Request, _ string) (any, error) {
	_, snapshot, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	e, paused := snapshot.Entries[records.KeyPause]
	if !paused {
		return Accepted{Text: "the cluster is not paused"}, nil
	}
	return Accepted{Text: "the cluster goes on"}, s.delete(r.Context(), records.KeyPause, e.Revision)
}
