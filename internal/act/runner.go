package act

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/trust"
	"github.com/pgherd/pgherd/internal/warden"
)

// Ledger takes note of our own lease writes; observe.StoreSource is one.
type Ledger interface {
	Renewed(l core.LeaseRecord, revision int64, sent core.Instant)
	Term() uint64
	Taking(expect int64) error
	Vouched(term uint64, sent core.Instant, err error)
	Others() []core.MemberRecord
}

// Runner carries out plans. All fields are set before the first Run.
type Runner struct {
	Self     string
	Store    store.Store
	Ledger   Ledger
	Now      func() core.Instant
	Log      *slog.Logger
	Warden   func() *warden.Client // nil result: not connected
	Server   *Server               // nil on a witness
	Jobs     *Jobs
	Identity Identity
	Ask      func(ctx context.Context, m core.MemberRecord, v core.Vouch) error // one other member to vouch for our lease
	// KeptChanged is called when a fork was saved or dropped, or data was set aside; nil: nobody asks.
	KeptChanged func()
	// Took is told what each step took, and whether it failed; nil: nobody asks.
	Took func(kind core.StepKind, took time.Duration, err error)
	// Wake makes the loop look: what was asked for has come to its end. nil: nobody asks.
	Wake func()
}

// Identity says which cluster data is made for.
type Identity struct {
	ClusterID string
	SystemID  func() string // the cluster's, from the store; empty before the bootstrap
}

// How long one step may take; a step that needs longer is a job.
const (
	planLimit  = 2 * time.Second
	storeLimit = 900 * time.Millisecond
)

var errWarden = errors.New("the warden does not answer")

// Run carries out the steps in order and gives the first failure.
func (r *Runner) Run(ctx context.Context, plan core.Plan) error {
	// The next renewal of the lease is behind this plan, so the whole plan is bounded.
	ctx, cancel := context.WithTimeout(ctx, planLimit)
	defer cancel()
	for _, s := range plan.Steps {
		if err := r.timed(ctx, s); err != nil {
			return &StepError{Kind: s.Kind, Err: err}
		}
	}
	return nil
}

// guard is checked again right before an effect.
func (r *Runner) guard(g core.Guard) error { return trust.Refuse(g, r.Ledger.Term(), r.Now()) }

func (r *Runner) timed(ctx context.Context, s core.Step) error {
	began := time.Now()
	err := r.step(ctx, s)
	if r.Took != nil {
		r.Took(s.Kind, time.Since(began), err)
	}
	return err
}

func (r *Runner) step(ctx context.Context, s core.Step) error {
	if err := r.guard(s.Guard); err != nil {
		return err
	}
	effect, ok := r.effects()[s.Kind]
	if !ok {
		return errors.New("this binary does not know the step")
	}
	return effect(ctx, s)
}

func (r *Runner) effects() map[core.StepKind]func(context.Context, core.Step) error {
	return map[core.StepKind]func(context.Context, core.Step) error{
		core.StepPutLease:     r.putLease,
		core.StepVouch:        r.vouch,
		core.StepPutCluster:   r.putCluster,
		core.StepPutOperation: r.putOperation,
		core.StepPutRequest:   r.putRequest,
		core.StepEndRequest:   r.endRequest,
		core.StepFence:        r.fence,
		core.StepDisarm:       r.disarm,
		core.StepStart:        r.start,
		core.StepStop:         r.stop,
		core.StepPromote:      r.promote,
		core.StepConfigure:    r.configure,
		core.StepMarkGood:     r.markGood,
		core.StepCreateSlot:   r.createSlot,
		core.StepDropSlot:     r.dropSlot,
		core.StepRoles:        r.roles,
		core.StepInit:         r.initDB,
		core.StepClone:        r.clone,
		core.StepRewind:       r.rewind,
		core.StepCheckpoint:   r.checkpoint,
		core.StepDropFork:     r.dropFork,
	}
}

func (r *Runner) warden() (*warden.Client, error) {
	c := r.Warden()
	if c == nil || !c.Status().Alive {
		return nil, errWarden
	}
	return c, nil
}

func (r *Runner) mark() postgres.Mark {
	return postgres.Mark{ClusterID: r.Identity.ClusterID, Member: r.Self, SystemID: r.Identity.SystemID()}
}
