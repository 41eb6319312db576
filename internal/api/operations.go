package api

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/store/records"
)

const operationTimeoutMax = time.Hour

func (s *Server) postOperation(r *http.Request, by string) (any, error) {
	var request OperationRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	v, _, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	op, err := newOperation(v, s.b.Members(), request)
	if err != nil {
		return nil, err
	}
	op.By = by
	return op, s.put(r.Context(), records.KeyOperation, op, v.OperationRevision)
}

func (s *Server) getOperation(r *http.Request, _ string) (any, error) {
	v, _, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	if v.Operation == nil {
		return nil, refuse(http.StatusNotFound, "no_operation", "", "there has been no operation yet")
	}
	return v.Operation, nil
}

// newOperation refuses what cannot be begun. What may change until it is driven
// (is the candidate close enough?) is the loop's to judge.
func newOperation(v core.StoreView, known map[string]peer.Status, request OperationRequest) (core.Operation, error) {
	op := core.Operation{
		ID: newID(), Kind: request.Kind, To: request.To, Queue: request.Queue, Pending: request.Pending,
		Force: request.Force, Phase: core.PhaseRequested, TimeoutMS: request.TimeoutMS,
	}
	if d := time.Duration(request.TimeoutMS) * time.Millisecond; d < 0 || d > operationTimeoutMax {
		return op, badRequest("timeout_ms %d: want 0 to %d", request.TimeoutMS, operationTimeoutMax.Milliseconds())
	}
	if now := v.Operation; now.Active() {
		return op, refuse(http.StatusConflict, "operation_active", "wait for its end: `pgherd events` shows it", "a %s is under way already (%s, phase %s)", now.Kind, now.ID, now.Phase)
	}
	if v.Paused {
		return op, refuse(http.StatusConflict, "paused", "`pgherd resume` first", "the cluster is paused")
	}
	var err error
	switch request.Kind {
	case core.OpSwitchover:
		err = checkSwitchover(v, &op)
	case core.OpFailover:
		err = checkFailover(v, known, op)
	case core.OpRestart:
		err = checkRestart(v, &op)
	default:
		err = badRequest("kind %q: want switchover, failover or restart", request.Kind)
	}
	return op, err
}

func checkSwitchover(v core.StoreView, op *core.Operation) error {
	op.From = leader(v)
	if op.From == "" {
		return refuse(http.StatusConflict, "no_leader", "`pgherd explain` says why nobody leads", "there is no primary to switch from")
	}
	if op.To == "" {
		return nil
	}
	if op.To == op.From {
		return refuse(http.StatusConflict, "already_primary", "", "%s is the primary already", op.To)
	}
	return checkCandidate(v, op.To)
}

func checkCandidate(v core.StoreView, name string) error {
	m, err := member(v, name)
	switch {
	case err != nil:
		return err
	case m.Witness:
		return refuse(http.StatusConflict, "is_witness", "", "%s is a witness: it holds no data", name)
	case m.Tags.NoFailover:
		return refuse(http.StatusConflict, "no_failover", "", "%s is tagged no_failover", name)
	}
	return nil
}

// checkFailover: only without a primary, and only with the loss said and accepted.
func checkFailover(v core.StoreView, known map[string]peer.Status, op core.Operation) error {
	if op.To == "" {
		return badRequest("a failover needs the member that takes over")
	}
	if err := checkCandidate(v, op.To); err != nil {
		return err
	}
	if l := leader(v); l != "" && known[l].Instance.Primary {
		return refuse(http.StatusConflict, "has_leader", "`pgherd switchover "+op.To+"` loses nothing", "%s leads and answers", l)
	}
	said, ok := known[op.To]
	if !ok {
		return refuse(http.StatusConflict, "unreachable", "", "%s does not answer", op.To)
	}
	if !op.Force {
		return refuse(http.StatusConflict, "force_needed", "repeat with --force to accept it", "%s", lossText(v, op.To, said))
	}
	return nil
}

func lossText(v core.StoreView, name string, said peer.Status) string {
	at := said.Instance.Position().LSN
	if at == 0 || v.Lease.LSN == 0 {
		return "it is not known how much " + name + " is missing of what was committed"
	}
	return name + " is at " + at.String() + "; the last primary was seen at " + v.Lease.LSN.String() + ": commits after that, and what lies between, may be lost"
}

// checkRestart also puts the primary last, whatever order was asked for.
func checkRestart(v core.StoreView, op *core.Operation) error {
	if len(op.Queue) == 0 && !op.Pending {
		return badRequest("a restart needs members, or pending")
	}
	if len(op.Queue) > 0 && op.Pending {
		return badRequest("either members or pending")
	}
	for i, name := range op.Queue {
		m, err := member(v, name)
		if err != nil {
			return err
		}
		if m.Witness {
			return refuse(http.StatusConflict, "is_witness", "", "%s is a witness: it runs no PostgreSQL", name)
		}
		if slices.Contains(op.Queue[:i], name) {
			return badRequest("%s is there twice", name)
		}
	}
	if i := slices.Index(op.Queue, leader(v)); i >= 0 {
		op.Queue = append(slices.Delete(slices.Clone(op.Queue), i, i+1), leader(v))
	}
	if leader(v) == "" {
		return refuse(http.StatusConflict, "no_leader", "`pgherd explain` says why nobody leads", "there is no primary to drive it")
	}
	return nil
}

func newID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}
