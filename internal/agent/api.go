package agent

import (
	"context"
	"fmt"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/store/embed"
	"github.com/pgherd/pgherd/internal/warden"
)

// backend is what the API may ask of this agent.
func (a *Agent) backend() api.Backend {
	b := api.Backend{
		Name: a.o.Config.Name, Config: a.o.Config, Store: a.records, PKI: a.pki, Journal: a.journal, Log: a.o.Log, Decision: decision,
		Health: a.health, Believed: a.believed, Metrics: a.metrics.Handler(), Snapshot: a.measures,
		Status: a.status, Members: a.statuses, Peers: a.peers, Vouch: a.vouch, Kept: a.kept.view, Boot: warden.BootNow, Look: a.poke,
		RecoveryAnswer: a.recoveryAnswer, Recover: a.recover, Retire: a.retire,
		StoreEndpoints: func() []string { return a.o.Config.Store.Endpoints },
	}
	if a.o.Level != nil {
		b.LogLevel = a.o.Level
	}
	if a.voter != nil {
		b.RemoveVoter, b.Voting = a.removeVoter, a.voter.voting
	}
	if a.server != nil {
		b.TryParameters = a.tryParameters
		b.Forks, b.Fork = a.keeper.entries, a.keeper.summary
	}
	return b
}

// vouch: a member that leaves the old store has no more word in it.
func (a *Agent) vouch(v core.Vouch) error {
	if a.again.Load() {
		return errSuperseded
	}
	return a.observer.Store.Vouch(v)
}

// removeVoter takes the vote of a member that is gone for good.
func (a *Agent) removeVoter(ctx context.Context, name string) error {
	all, err := embed.Members(ctx, a.store.Client())
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Name == name {
			return embed.Remove(ctx, a.store.Client(), m.ID)
		}
	}
	return nil
}

// tryParameters has this member's PostgreSQL judge parameters without touching the
// running one.
func (a *Agent) tryParameters(ctx context.Context, parameters map[string]string) error {
	if refused := postgres.CheckParameters(parameters); len(refused) > 0 {
		for _, err := range refused {
			return err
		}
	}
	if err := postgres.TryParameters(ctx, a.server.Instance, parameters); err != nil {
		return fmt.Errorf("PostgreSQL here refuses it: %w", err)
	}
	return nil
}
