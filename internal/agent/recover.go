package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/store/records"
)

const (
	recoverAsk    = 6 * time.Second // for all members' answers
	recoverRetire = 10 * time.Second
	storeProbe    = 2 * time.Second
	storeQuiet    = 5 * time.Second // without an answer for so long, what is left of the store is looked at
)

// recoveryAnswer is what this member has, for whoever would rebuild the store.
func (a *Agent) recoveryAnswer(ctx context.Context) rebuild.Answer {
	out := rebuild.Answer{
		Name: a.o.Config.Name, Ordinal: a.id.Ordinal, Witness: a.o.Config.Witness, ClusterID: a.id.ClusterID,
		Generation: a.gen.Number, Founder: a.gen.Founder, Share: a.probeShare(ctx), Saved: a.kept.newest(), Term: a.latest().Report.Term,
	}
	if own := a.ownRecords(ctx); own != nil && (out.Saved == nil || own.Revision >= out.Saved.Revision) {
		out.Saved = own
	}
	if a.server != nil {
		out.Data = a.latest().View.Local.Data
		out.Instance = a.observer.Local.Fresh(ctx, factsAge)
		out.Term = max(out.Term, a.warden.status().Term)
	}
	return out
}

// probeShare asks the store, as it is now.
func (a *Agent) probeShare(ctx context.Context) rebuild.Share {
	ctx, cancel := context.WithTimeout(ctx, storeProbe)
	defer cancel()
	snapshot, err := a.store.Snapshot(ctx)
	_, has := snapshot.Entries[records.KeyCluster]
	switch {
	case err == nil && has && !a.again.Load():
		return rebuild.ShareAnswers
	case err == nil && a.voter == nil:
		return rebuild.ShareEmpty
	}
	return a.remains()
}

// share is what is left here of the store, without asking anybody.
func (a *Agent) share() rebuild.Share {
	quiet, empty := a.kept.silence(bootTime(a.began))
	if quiet < storeQuiet && !empty && a.ours.Load() && a.kept.of(a.gen.Number) {
		return rebuild.ShareAnswers
	}
	return a.remains()
}

// remains is share when the store does not answer.
func (a *Agent) remains() rebuild.Share {
	switch _, empty := a.kept.silence(bootTime(a.began)); {
	case a.voter == nil && empty:
		return rebuild.ShareEmpty
	case a.voter == nil:
		return rebuild.ShareExternal
	case a.gen.Number > 0 && !a.kept.of(a.gen.Number), a.again.Load():
		return rebuild.ShareRetired
	case a.voter.running() != nil || a.voter.config.HasData():
		return rebuild.ShareSilent
	}
	return rebuild.ShareLost
}

// bootTime is an instant of this machine as Go's time, for durations only.
func bootTime(i core.Instant) time.Time { return wallTime(i) }

// ownRecords are those in this member's own share: it needs no quorum to be read, and may be newer than
// the copy. What it holds was agreed on by a quorum once.
func (a *Agent) ownRecords(ctx context.Context) *rebuild.Saved {
	if a.voter == nil || a.gen.Number > 0 && !a.kept.of(a.gen.Number) {
		return nil
	}
	s := a.voter.running()
	if s == nil {
		return nil
	}
	snapshot, err := s.Local(ctx, a.gen.prefix(a.prefix)+"/")
	if _, has := snapshot.Entries[records.KeyCluster]; err != nil || !has {
		return nil
	}
	out := &rebuild.Saved{Generation: a.gen.Number, Revision: snapshot.Revision, Entries: map[string]rebuild.Raw{}, Voters: s.Voters()}
	if k := a.kept.newest(); k != nil {
		out.SavedAt = k.SavedAt
	}
	for key, e := range snapshot.Entries {
		if rebuild.Lasting(key) {
			out.Entries[key] = e.Value
		}
	}
	return out
}

// recover judges what the members have and, when that is confirmed and nothing speaks against it,
// begins to rebuild the store here. It is the only thing that does.
func (a *Agent) recover(ctx context.Context, q rebuild.Question, by string) (rebuild.Verdict, error) {
	if !a.recovering.TryLock() {
		return rebuild.Verdict{Refusal: &rebuild.Refusal{Code: "recovery_running", Text: "another `pgherd recover` is under way on this member", Hint: "wait for its end"}}, nil
	}
	defer a.recovering.Unlock()
	q.ClusterID, q.External = a.id.ClusterID, a.voter == nil
	answers := a.askAll(ctx)
	v := rebuild.Judge(q, maps.Clone(answers))
	if v.Refusal != nil || q.Confirm == "" {
		return v, nil
	}
	a.tell(core.Warning, "`pgherd recover` of %s: generation %d of the store is made here from the records of %s (%s); %s", by, v.Generation, v.Source, v.LeaseText, v.Evidence)
	a.founding.Store(v.Generation) // those who promise themselves to it go back when it is neither this nor ours
	defer a.founding.Store(0)
	a.retireAll(ctx, answers, v)
	q.Seen = v.Seen()
	if v = rebuild.Judge(q, maps.Clone(answers)); v.Refusal != nil {
		v.Refusal.Text = "some members did not confirm that they leave the old store: " + v.Refusal.Text
		a.tell(core.Error, "`pgherd recover` ended without a new store: %s", v.Refusal.Text)
		return v, nil
	}
	first, err := v.Records(by, time.Now().UTC().Format(time.RFC3339))
	if err != nil {
		return v, err
	}
	g := generation{Number: v.Generation, Founder: a.id.Member, Members: v.Members, Records: first, WaitMS: v.Wait(answers).Milliseconds()}
	return v, a.switchTo(g, "this member leaves its share of the old store and makes generation %d", g.Number)
}

// askAll asks every member that anybody who answers knows of.
func (a *Agent) askAll(ctx context.Context) map[string]rebuild.Answer {
	ctx, cancel := context.WithTimeout(ctx, recoverAsk)
	defer cancel()
	answers, asked := map[string]rebuild.Answer{a.id.Member: a.recoveryAnswer(ctx)}, map[string]bool{a.id.Member: true}
	for {
		var next []core.MemberRecord
		for _, m := range a.knownTo(answers) {
			if !asked[m.Name] {
				asked[m.Name], next = true, append(next, m)
			}
		}
		if len(next) == 0 {
			return answers
		}
		a.ask(ctx, next, answers)
	}
}

func (a *Agent) knownTo(answers map[string]rebuild.Answer) []core.MemberRecord {
	list := slices.Clone(a.members())
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		if s := answers[name].Saved; s != nil {
			if v, err := s.View(); err == nil {
				list = append(list, v.Members...)
			}
		}
	}
	return list
}

func (a *Agent) ask(ctx context.Context, members []core.MemberRecord, into map[string]rebuild.Answer) {
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, m := range members {
		asked.Go(func() {
			var answer rebuild.Answer
			if err := a.peers.Get(ctx, apiAddress(m), api.RecoveryPath, &answer); err != nil || answer.Name != m.Name {
				return // no answer is one too: the verdict says what follows
			}
			mu.Lock()
			defer mu.Unlock()
			into[m.Name] = answer
		})
	}
	asked.Wait()
}

func apiAddress(m core.MemberRecord) string {
	return net.JoinHostPort(m.Address, strconv.Itoa(m.APIPort))
}

// retireAll has every other member leave the old store. One that does not confirm it counts as silent from
// now on: it may still be part of an old quorum.
func (a *Agent) retireAll(ctx context.Context, answers map[string]rebuild.Answer, v rebuild.Verdict) {
	ctx, cancel := context.WithTimeout(ctx, recoverRetire)
	defer cancel()
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, m := range v.Members {
		if _, ok := answers[m.Name]; !ok || m.Name == a.id.Member {
			continue
		}
		asked.Go(func() {
			request := api.RetireRequest{Generation: v.Generation, Founder: a.id.Member, Members: v.Members}
			err := a.peers.Post(ctx, apiAddress(m), api.RetirePath, request, &api.Accepted{})
			if err == nil {
				return
			}
			a.o.Log.Error("a member does not leave the old store", "member", m.Name, "error", err)
			mu.Lock()
			defer mu.Unlock()
			delete(answers, m.Name)
		})
	}
	asked.Wait()
}

// retire leaves the old store for one that another member is about to make. It is a promise: our share of the
// old one never votes again.
func (a *Agent) retire(ctx context.Context, r api.RetireRequest, by string) error {
	if by != r.Founder {
		return fmt.Errorf("%s asks in the name of %s", by, r.Founder)
	}
	if share := a.probeShare(ctx); share == rebuild.ShareAnswers {
		return errors.New("the store answers here: it is not lost")
	}
	return a.switchTo(generation{Number: r.Generation, Founder: r.Founder, Members: r.Members},
		"this member leaves its share of the old store: %s makes generation %d", r.Founder, r.Generation)
}

// storeLost is the condition of a store that cannot come back by itself. Whether silent machines are
// gone for good nobody can know; that of those who answer too few have kept their share, they can.
func (a *Agent) storeLost(v core.View) []core.Condition {
	quiet, empty := a.kept.silence(bootTime(a.began))
	since := v.Now.Add(-quiet)
	if quiet < storeQuiet || a.founds() || a.again.Load() {
		return nil
	}
	if a.voter == nil {
		if !empty {
			return nil
		}
		return []core.Condition{core.NewCondition(core.CondStoreLost, since, "the external store answers, but holds no record of this cluster")}
	}
	voters, lost := a.voterNames(), []string{}
	statuses := a.observer.Peers.Statuses()
	for _, name := range voters {
		share := rebuild.Share(cmp.Or(statuses[name].Share, string(rebuild.ShareSilent)))
		if name == a.id.Member {
			share = a.share()
		}
		if share == rebuild.ShareLost || share == rebuild.ShareRetired {
			lost = append(lost, name)
		}
	}
	if len(voters) == 0 || len(voters)-len(lost) > len(voters)/2 {
		return nil
	}
	return []core.Condition{core.NewCondition(core.CondStoreLost, since, "of %s, which vote in the store, %s have lost their share of it: there is no quorum to come back", strings.Join(voters, ", "), strings.Join(lost, ", "))}
}

// voterNames are those who vote as far as is known, else the first members.
func (a *Agent) voterNames() []string {
	if s := a.kept.newest(); s != nil && len(s.Voters) > 0 {
		return s.Voters
	}
	return core.Voters(a.members())
}
