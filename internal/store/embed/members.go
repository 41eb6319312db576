package embed

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Errors of membership changes that pass by themselves; test with errors.Is.
var (
	// ErrNotReady: the learner has not caught up yet, or was not started.
	ErrNotReady = errors.New("etcd: the learner is not ready to vote")
	// ErrBusy: there is another learner, and etcd has one at a time.
	ErrBusy = errors.New("etcd: another member is joining")
	// ErrUnhealthy: the change would endanger the quorum now, or would a few
	// seconds after an election (etcd wants 5 s of stable connections).
	ErrUnhealthy = errors.New("etcd: not enough healthy voters for this change")
)

// Member is one etcd server of the cluster.
type Member struct {
	ID         uint64
	Name       string // empty until it was started once
	PeerURLs   []string
	ClientURLs []string // empty until it was started once
	Learner    bool
	Started    bool // it was started once; it may be down now
}

// Members lists the servers, linearizably.
func Members(ctx context.Context, c *clientv3.Client) ([]Member, error) {
	resp, err := c.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list etcd members: %w", err)
	}
	return members(resp.Members), nil
}

// AddLearner adds the server that will listen at peerURL, and gives all members
// with it. If it is there already (also as a voter), it only lists them.
func AddLearner(ctx context.Context, c *clientv3.Client, peerURL string) ([]Member, error) {
	all, err := Members(ctx, c)
	if err != nil || has(all, peerURL) {
		return all, err
	}
	resp, err := c.MemberAddAsLearner(ctx, []string{peerURL})
	switch {
	case err == nil:
		return members(resp.Members), nil
	case errors.Is(err, rpctypes.ErrPeerURLExist) || errors.Is(err, rpctypes.ErrMemberExist):
		return Members(ctx, c) // a retry of our own request, or another of us
	default:
		return nil, fmt.Errorf("add etcd learner %s: %w", peerURL, typed(err))
	}
}

// Promote makes a learner a voter. A voter stays one without error.
func Promote(ctx context.Context, c *clientv3.Client, id uint64) error {
	all, err := Members(ctx, c)
	if err != nil {
		return err
	}
	// etcd says "not ready" of one that votes already.
	at := slices.IndexFunc(all, func(m Member) bool { return m.ID == id })
	if at >= 0 && !all[at].Learner {
		return nil
	}
	if _, err := c.MemberPromote(ctx, id); err != nil {
		return fmt.Errorf("promote etcd learner %x: %w", id, typed(err))
	}
	return nil
}

// Remove removes a server for good: its data directory is worthless then. One
// that is not there is no error.
func Remove(ctx context.Context, c *clientv3.Client, id uint64) error {
	_, err := c.MemberRemove(ctx, id)
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("remove etcd member %x: %w", id, typed(err))
	}
	return nil
}

// InitialFor makes Config.Initial of a joining member from what AddLearner gave.
// Members that were never started have no name; etcd compares only URLs.
func InitialFor(all []Member, name, peerURL string) map[string]string {
	initial := map[string]string{}
	for _, m := range all {
		for _, u := range m.PeerURLs {
			switch {
			case u == peerURL:
				initial[name] = u
			case m.Name == "" || m.Name == name:
				initial[fmt.Sprintf("%x", m.ID)] = u
			default:
				initial[m.Name] = u
			}
		}
	}
	return initial
}

func members(list []*etcdserverpb.Member) []Member {
	all := make([]Member, len(list))
	for i, m := range list {
		all[i] = Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs,
			Learner: m.IsLearner, Started: m.Name != ""}
	}
	return all
}

func has(all []Member, peerURL string) bool {
	return slices.ContainsFunc(all, func(m Member) bool { return slices.Contains(m.PeerURLs, peerURL) })
}

func typed(err error) error {
	for cause, is := range map[error]error{
		rpctypes.ErrMemberLearnerNotReady:  ErrNotReady,
		rpctypes.ErrTooManyLearners:        ErrBusy,
		rpctypes.ErrUnhealthy:              ErrUnhealthy,
		rpctypes.ErrMemberNotEnoughStarted: ErrUnhealthy,
	} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", is, err)
		}
	}
	return err
}
