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

const (
	operationTimeoutMax = time.Hour
	maxWaitMax          = time.Minute // clients are held meanwhile
	reasonMax           = 200
	scheduleMax         = 31 * 24 * time.Hour
)

func (s *Server) postOperation(r *http.Request, by string) (any, error) {
	var request OperationRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	if request.Force || request.Kind == core.OpFailover { // it may cost commits, or clients their transactions
		if err := atLeast(r, RoleAdmin); err != nil {
			return nil, err
		}
	}
	v, _, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	op, err := newOperation(v, s.b.Members(), request, changeID(r.Context()))
	if err == nil {
		err = schedule(&op, request.At, s.b.Now())
	}
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
func newOperation(v core.StoreView, known map[string]peer.Status, request OperationRequest, id string) (core.Operation, error) {
	op := core.Operation{
		ID: id, Kind: request.Kind, To: request.To, Queue: request.Queue, Pending: request.Pending,
		Force: request.Force, Phase: core.PhaseRequested, TimeoutMS: request.TimeoutMS,
		MaxWaitMS: request.MaxWaitMS, DryRun: request.DryRun, Rolling: request.Rolling, Reason: request.Reason,
	}
	if err := checkOptions(request); err != nil {
		return op, err
	}
	if err := checkWait(v, op.MaxWait()); err != nil {
		return op, err
	}
	if d := time.Duration(request.TimeoutMS) * time.Millisecond; d < 0 || d > operationTimeoutMax {
		return op, badRequest("timeout_ms %d: want 0 to %d", request.TimeoutMS, operationTimeoutMax.Milliseconds())
	}
	if now := v.Operation; now.Active() {
		return op, refuse(http.StatusConflict, "operation_active", "wait for its end: `pgherd events` shows it", "a %s is under way already (%s, phase %s)", now.Kind, now.ID, now.Phase)
	}
	if now := v.Operation; now != nil && now.Phase == core.PhaseScheduled {
		return op, refuse(http.StatusConflict, "operation_scheduled", "`pgherd cancel` takes it back", "a %s is planned for %s", now.Kind, time.UnixMilli(now.AtMS).UTC().Format(time.RFC3339))
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

// checkOptions: what belongs to one kind is no silent nothing in another.
func checkOptions(r OperationRequest) error {
	wait := time.Duration(r.MaxWaitMS) * time.Millisecond
	switch {
	case r.Kind != core.OpSwitchover && r.DryRun:
		return badRequest("dry_run is for a switchover")
	case r.Kind != core.OpSwitchover && !r.Rolling && r.MaxWaitMS != 0:
		return badRequest("max_wait_ms is for a switchover, and for a rolling restart")
	case r.Kind == core.OpRestart && !r.Rolling && r.Force:
		return badRequest("a restart in place ends what is open: force is for a rolling one")
	case len(r.Reason) > reasonMax:
		return badRequest("reason: want at most %d bytes", reasonMax)
	case r.Kind != core.OpRestart && r.Rolling:
		return badRequest("rolling is for a restart")
	case r.Kind == core.OpFailover && r.At != "":
		return badRequest("a failover cannot be planned: it is for when nobody leads")
	case r.DryRun && r.At != "":
		return badRequest("either dry_run or at")
	case wait < 0 || wait > maxWaitMax:
		return badRequest("max_wait_ms %d: want 0 to %d", r.MaxWaitMS, maxWaitMax.Milliseconds())
	}
	return nil
}

// checkWait: who waits at an endpoint is dropped after query_wait, also while it is held. The move itself may take HoldMax.
func checkWait(v core.StoreView, wait time.Duration) error {
	if limit := v.Spec.Pooler.QueryWait.D() - core.HoldMax; len(v.Poolers) > 0 && v.Spec.Pooler.QueryWait != 0 && wait > limit {
		return badRequest("max_wait_ms %d: the endpoints drop clients that wait for longer than pooler.query_wait (%s), and the move needs up to %s of it: want at most %d",
			wait.Milliseconds(), v.Spec.Pooler.QueryWait.D(), core.HoldMax, limit.Milliseconds())
	}
	return nil
}

// schedule sets when the operation is to begin.
func schedule(op *core.Operation, at string, now time.Time) error {
	if at == "" {
		return nil
	}
	when, err := time.Parse(time.RFC3339, at)
	switch {
	case err != nil:
		return badRequest("at %q: want a time such as 2026-12-01T03:00:00Z", at)
	case !when.After(now):
		return badRequest("at %q: that is past", at)
	case when.Sub(now) > scheduleMax:
		return badRequest("at %q: that is more than %d days ahead", at, int(scheduleMax.Hours()/24))
	}
	op.Phase, op.AtMS = core.PhaseScheduled, when.UnixMilli()
	return nil
}

// deleteOperation takes back what is planned. What has begun ends by itself.
func (s *Server) deleteOperation(r *http.Request, by string) (any, error) {
	v, _, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	if v.Operation.Active() {
		return nil, refuse(http.StatusConflict, "operation_active", "wait for its end, or its deadline", "the %s has begun (phase %s)", v.Operation.Kind, v.Operation.Phase)
	}
	if v.Operation == nil || v.Operation.Phase != core.PhaseScheduled {
		return nil, refuse(http.StatusNotFound, "no_operation", "", "nothing is planned")
	}
	op := *v.Operation
	op.Phase, op.Text = core.PhaseAborted, "taken back by "+by
	return Accepted{Text: "the " + op.Kind + " that was planned (" + op.ID + ") is taken back"}, s.put(r.Context(), records.KeyOperation, op, v.OperationRevision)
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
	case slices.Contains(v.Drained, name): // before its tags, which being drained sets: nobody would find such a tag
		return refuse(http.StatusConflict, "drained", "`pgherd undrain "+name+"` first", "%s is drained", name)
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
