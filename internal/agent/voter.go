package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store/embed"
)

const (
	voterEvery     = 10 * time.Second
	voterEveryBusy = 500 * time.Millisecond
	// While a member that is to vote does not yet: a link that is cut right after it does must not find us without its address.
	voterEverySettling = time.Second
	// votesGrace is how long a new member may take until it votes before that is a condition: etcd wants 5 s of stable
	// connections before each change.
	votesGrace = 30 * time.Second
)

// voter keeps this member's share of the embedded store: it starts the server,
// grows the quorum to the first five members, and keeps raft's leadership off the primary.
type voter struct {
	config   embed.Config
	stateDir string
	log      *slog.Logger

	foundedFile string
	settling    bool // fewer vote than will; of keep alone

	mu      sync.Mutex
	server  *embed.Server
	retired bool // no server is started any more
	votes   []string
	known   bool         // votes was read
	lacking core.Instant // since when fewer vote than will; 0: all do
}

// begin starts the server where it is known to belong: with its old data, or as the
// first of the cluster. Everybody else asks the running members first (see step).
func (v *voter) begin(ctx context.Context, first bool) error {
	if _, err := os.Stat(v.foundedFile); err == nil {
		first = false // once founded, lost store data comes back from the others, never from nothing
	}
	if !first && !v.config.HasData() {
		return nil
	}
	c := v.config
	c.State, c.Initial = embed.StateNew, map[string]string{c.Name: c.PeerAdvertise}
	return v.start(ctx, c)
}

func (v *voter) start(ctx context.Context, c embed.Config) error {
	s, err := embed.Start(ctx, c)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.retired {
		s.Close()
		return errRetired
	}
	v.server = s
	return nil
}

var errRetired = errors.New("this member has left the store for a newer one")

// retire stops this member's share of the store for good.
func (v *voter) retire() {
	v.mu.Lock()
	v.retired = true
	v.mu.Unlock()
	v.close()
}

func (v *voter) running() *embed.Server {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.server
}

func (v *voter) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.server != nil {
		v.server.Close()
		v.server = nil
	}
}

// keep looks at the membership again and again; each step is safe to repeat.
func (v *voter) keep(ctx context.Context, a *Agent) error {
	due, members := time.Now(), 0
	for {
		select {
		case <-time.After(min(time.Until(due), voterEverySettling)):
		case err := <-v.failed():
			return err
		case <-ctx.Done():
			return nil
		}
		n := len(a.latest().View.Store.Members)
		if n == members && time.Now().Before(due) {
			continue // somebody who came or went is seen at once, and not when it is due
		}
		members = n
		wait := voterEvery
		stepCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		busy, err := v.step(stepCtx, a)
		cancel()
		if err != nil && ctx.Err() == nil {
			v.log.Debug("the store's membership", "error", err)
		}
		switch {
		case busy || err != nil:
			wait = voterEveryBusy
		case v.settling:
			wait = voterEverySettling
		}
		due = time.Now().Add(wait)
	}
}

func (v *voter) failed() <-chan error {
	if s := v.running(); s != nil {
		return s.ErrNotify()
	}
	return nil
}

// step does at most one change. busy means: look again soon.
func (v *voter) step(ctx context.Context, a *Agent) (busy bool, err error) {
	if !a.ours.Load() {
		return true, nil // not before the store was read, and is known to be the one that we belong to
	}
	all, err := embed.Members(ctx, a.store.Client())
	if err != nil {
		return true, err
	}
	v.remember(a, all)
	view := a.latest().View
	v.settling = settling(all, len(view.Store.Members))
	me := slices.IndexFunc(all, func(m embed.Member) bool { return slices.Contains(m.PeerURLs, v.config.PeerAdvertise) })
	switch {
	case me < 0 && v.entitled(all, view.Store.Members):
		return true, v.grow(ctx, a)
	case me < 0:
		return len(all) < core.VotersMax, nil // somebody goes first, or our record is not there yet
	case v.running() == nil && all[me].Started && !all[me].Learner && !v.config.HasData():
		// A voter that has forgotten what it voted for must not come back under its old
		// number: it is removed, and joins anew as a learner.
		v.log.Warn("this member's share of the store is lost; it joins the quorum anew")
		return true, embed.Remove(ctx, a.store.Client(), all[me].ID)
	case v.running() == nil:
		return true, v.join(ctx, all)
	case all[me].Learner:
		err := embed.Promote(ctx, a.store.Client(), all[me].ID)
		return true, err
	}
	return v.lead(ctx, a, all, view)
}

// settling: fewer vote than will.
func settling(all []embed.Member, members int) bool {
	votes := 0
	for _, m := range all {
		if m.Started && !m.Learner {
			votes++
		}
	}
	return votes < min(core.VotersMax, members)
}

// entitled: at most five vote, those who joined first before others.
func (v *voter) entitled(all []embed.Member, members []core.MemberRecord) bool {
	// While another one learns, etcd would refuse us only after the change is in its log,
	// and every restart from that log would then dial a peer that never came to be.
	if len(all) >= core.VotersMax || slices.ContainsFunc(all, func(e embed.Member) bool { return e.Learner }) {
		return false
	}
	for _, m := range members {
		if m.Name == v.config.Name {
			return true
		}
		if !slices.ContainsFunc(all, func(e embed.Member) bool { return e.Name == m.Name || slices.Contains(e.PeerURLs, peerURL(m)) }) {
			return false // it goes first
		}
	}
	return false
}

func (v *voter) grow(ctx context.Context, a *Agent) error {
	all, err := embed.AddLearner(ctx, a.store.Client(), v.config.PeerAdvertise)
	if err != nil {
		return err
	}
	return v.join(ctx, all)
}

// join starts our server as the learner that was added. Old data of a voter that was
// removed is worthless and set aside.
func (v *voter) join(ctx context.Context, all []embed.Member) error {
	c := v.config
	if c.HasData() {
		if _, err := c.SetAside("removed"); err != nil {
			return err
		}
	}
	c.State, c.Initial = embed.StateExisting, embed.InitialFor(all, c.Name, c.PeerAdvertise)
	v.log.Info("joining the store's quorum", "voters", len(all))
	return v.start(context.WithoutCancel(ctx), c)
}

// lead is what the primary's member does for the store: it removes voters of
// members that are gone for good, and does not keep raft's leadership, so that losing
// the primary does not cost an election of the store as well.
func (v *voter) lead(ctx context.Context, a *Agent, all []embed.Member, view core.View) (busy bool, err error) {
	l := view.Store
	if !l.Known || l.Lease.Holder != v.config.Name || l.RenewedTerm != l.Lease.Term || l.Err != "" {
		return false, nil // only who leads now, and knows the members of now
	}
	for _, e := range all {
		gone := e.Name != "" && !slices.ContainsFunc(view.Store.Members, func(m core.MemberRecord) bool { return m.Name == e.Name })
		if gone {
			v.log.Info("removing the voter of a removed member", "member", e.Name)
			return true, embed.Remove(ctx, a.store.Client(), e.ID)
		}
	}
	if s := v.running(); len(all) > 1 && s.IsLeader() {
		if err := s.MoveLeadership(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return false, err
		}
	}
	return false, nil
}

// remember tells the store's client, and the next start, where the voters are.
func (v *voter) remember(a *Agent, all []embed.Member) {
	var urls, names []string
	for _, m := range all {
		if m.Started && !m.Learner {
			names = append(names, m.Name)
		}
		if m.Started && !m.Learner && !slices.Contains(m.PeerURLs, v.config.PeerAdvertise) {
			urls = append(urls, m.ClientURLs...)
		}
	}
	slices.Sort(urls)
	slices.Sort(names)
	a.kept.vote(names)
	v.mu.Lock()
	v.votes, v.known = names, true
	v.mu.Unlock()
	if v.running() != nil {
		urls = append([]string{v.config.ClientAdvertise}, urls...)
	}
	if len(urls) == 0 {
		return
	}
	a.store.SetEndpoints(urls)
	data, _ := json.Marshal(urls)
	if old, _ := os.ReadFile(v.endpointsFile()); string(old) != string(data) {
		if err := WriteFile(v.endpointsFile(), data, 0o600); err != nil {
			v.log.Warn("the store's endpoints could not be written down", "error", err)
		}
	}
}

// voting are those who vote in the store, by name, as far as this member has heard.
func (v *voter) voting() (names []string, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.votes, v.known
}

// conditions: a store that has not all its votes bears the loss of fewer members than people think.
func (v *voter) conditions(now core.Instant, members []core.MemberRecord) []core.Condition {
	if v == nil || len(members) == 0 {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	missing := core.NotVoting(members, v.votes)
	switch {
	case !v.known || len(missing) == 0:
		v.lacking = 0
	case v.lacking == 0:
		v.lacking = now
	case now.Sub(v.lacking) > votesGrace:
		return []core.Condition{core.NewCondition(core.CondVotesMissing, v.lacking, "%s: no vote in the store yet; %s vote", strings.Join(missing, ", "), strings.Join(v.votes, ", "))}
	}
	return nil
}

func (v *voter) endpointsFile() string { return filepath.Join(v.stateDir, "endpoints.json") }

// endpoints are those remembered from the last run, else those of the joining.
func (v *voter) endpoints(seeds []core.MemberRecord) []string {
	var urls []string
	data, err := os.ReadFile(v.endpointsFile())
	if err == nil && json.Unmarshal(data, &urls) == nil && len(urls) > 0 {
		return urls
	}
	urls = nil
	for _, m := range seeds {
		if m.Name != v.config.Name {
			urls = append(urls, storeURL(m))
		}
	}
	return append(urls, v.config.ClientAdvertise)
}
