package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/store/records"
)

// EntryOf is a saved fork as it is listed.
func EntryOf(s forks.Summary, path string, diskBytes int64) ForkEntry {
	return ForkEntry{
		ID: s.Path(), Kind: ForkWAL, Member: s.Member, SavedAt: s.SavedAt, Path: path, DiskBytes: diskBytes,
		Timeline: s.Timeline, From: s.From, To: s.To, Bytes: s.Bytes, Committed: s.Committed, Aborted: s.Aborted,
		Acked: s.Acked, Complete: s.Complete, Missing: s.Missing, Tables: s.Tables(), Named: s.Named,
	}
}

// getForks lists those of one member (member=NAME), or of all.
func (s *Server) getForks(r *http.Request, _ string) (any, error) {
	if r.URL.Query().Has("local") {
		own, err := s.ownForks(r.Context())
		return Forks{Forks: own}, err
	}
	v, _ := s.readAnyway(r.Context())
	only := r.URL.Query().Get("member")
	if _, err := member(v, only); only != "" && err != nil {
		return nil, err
	}
	members := slices.DeleteFunc(slices.Clone(v.Members), func(m core.MemberRecord) bool { return m.Witness || only != "" && m.Name != only })
	return s.allForks(r.Context(), members), nil
}

func (s *Server) ownForks(ctx context.Context) ([]ForkEntry, error) {
	if s.b.Forks == nil {
		return []ForkEntry{}, nil
	}
	return s.b.Forks(ctx)
}

// allForks asks the members at the same time. What is there of one that does not answer is missing.
func (s *Server) allForks(ctx context.Context, members []core.MemberRecord) Forks {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var mu sync.Mutex
	var asked sync.WaitGroup
	out := Forks{Forks: []ForkEntry{}}
	for _, m := range members {
		asked.Go(func() {
			theirs, err := s.forksOf(ctx, m)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.b.Log.Info("the forks of a member are not known", "member", m.Name, "error", err)
				out.Missing = append(out.Missing, m.Name)
			}
			out.Forks = append(out.Forks, theirs...)
		})
	}
	asked.Wait()
	slices.Sort(out.Missing)
	slices.SortStableFunc(out.Forks, func(a, b ForkEntry) int {
		if c := a.SavedAt.Compare(b.SavedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

func (s *Server) forksOf(ctx context.Context, m core.MemberRecord) ([]ForkEntry, error) {
	if m.Name == s.b.Name {
		return s.ownForks(ctx)
	}
	var theirs Forks
	err := s.askMember(ctx, m, "/v1/forks?local=1", &theirs)
	return theirs.Forks, err
}

func (s *Server) askMember(ctx context.Context, m core.MemberRecord, path string, into any) error {
	if s.b.Peers == nil {
		return refuse(http.StatusServiceUnavailable, "unreachable", "", "%s does not answer", m.Name)
	}
	return s.b.Peers.Get(ctx, hostport(m.Address, m.APIPort), path, into)
}

// getFork is one fork's whole summary, wherever it is.
func (s *Server) getFork(r *http.Request, _ string) (any, error) {
	name, id := r.PathValue("name"), r.PathValue("id")
	v, _ := s.readAnyway(r.Context())
	m, err := member(v, name)
	if err != nil {
		return nil, err
	}
	entry, err := s.findFork(r.Context(), m, id)
	if err != nil {
		return nil, err
	}
	detail := ForkDetail{ForkEntry: entry}
	if entry.Kind != ForkWAL {
		return detail, nil
	}
	if name != s.b.Name {
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		err := unreachable(name, s.askMember(ctx, m, forkPath(name, id), &detail))
		return detail, err
	}
	summary, err := s.b.Fork(id)
	detail.Summary = &summary
	return detail, err
}

func forkPath(name, id string) string {
	return "/v1/members/" + url.PathEscape(name) + "/forks/" + url.PathEscape(id)
}

func unreachable(name string, err error) error {
	if err == nil {
		return nil
	}
	return refuse(http.StatusServiceUnavailable, "unreachable", "start pgherd on it, or repair the network to it", "%s does not answer: %v", name, err)
}

func (s *Server) findFork(ctx context.Context, m core.MemberRecord, id string) (ForkEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	list, err := s.forksOf(ctx, m)
	if err != nil {
		return ForkEntry{}, unreachable(m.Name, err)
	}
	for _, e := range list {
		if e.ID == m.Name+"/"+id {
			return e, nil
		}
	}
	return ForkEntry{}, refuse(http.StatusNotFound, "no_such_fork", "`pgherd forks` lists them", "%s keeps no fork %q", m.Name, id)
}

// deleteFork asks the member to drop it: an intent in the store, as every change.
func (s *Server) deleteFork(r *http.Request, by string) (any, error) {
	name, id := r.PathValue("name"), r.PathValue("id")
	v, snapshot, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	m, err := member(v, name)
	if err != nil {
		return nil, err
	}
	if _, err := s.findFork(r.Context(), m, id); err != nil {
		return nil, err
	}
	key := records.RemovalPrefix + name + "/" + id
	if err := s.put(r.Context(), key, core.Removal{ID: id, By: by}, snapshot.Entries[key].Revision); err != nil {
		return nil, err
	}
	s.b.Log.Info("a fork is to be removed", "member", name, "fork", id, "by", by)
	return Accepted{Text: "removal of " + name + "/" + id + " is requested"}, nil
}
