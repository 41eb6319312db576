package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// CodePoolerRemoved: the host has a certificate still, but the cluster has removed it. CodePoolerUnknown: the cluster
// has not, and does not know it either. Its records are older than its join: the store was rebuilt.
const (
	CodePoolerRemoved = "pooler_removed"
	CodePoolerUnknown = "pooler_unknown"
)

const (
	// poolerRemoveTries bounds the race of a removal with the host's own writing; the last finds nothing left.
	poolerRemoveTries = 5
	// poolerNameKept is how long a removed host's certificate may be good still, with what clocks are apart: a member may sign
	// one that was asked for right before the removal.
	poolerNameKept = pki.NodeLifetime + time.Hour
)

// PoolerHost (records.PoolerHostPrefix) registers a host that only pools. Its join writes it, its removal deletes it; the
// host itself cannot. Without it a removed host could write its record again, and so be let look roles up again.
type PoolerHost struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	JoinedAt string `json:"joined_at"` // RFC 3339, for people only
}

// PoolerRemoval (records.PoolerRemovalPrefix) is kept for as long as the host's certificate may be good. PostgreSQL and the
// host's clients know a host by its name alone, so that whoever got the name would share it with the removed one.
type PoolerRemoval struct {
	Name      string    `json:"name"`
	RemovedAt time.Time `json:"removed_at"`
	FreeAt    time.Time `json:"free_at"` // from then on the name may be given again
}

// PoolerAdmission is the body of PUT /v1/poolers/{name}.
type PoolerAdmission struct {
	Address string `json:"address"`
}

// registered refuses who is not. A removal counts more than a registration.
func registered(snapshot store.Snapshot, name string) error {
	if _, ok := snapshot.Entries[records.PoolerRemovalPrefix+name]; ok {
		return refuse(http.StatusForbidden, CodePoolerRemoved, "join again with a new token, under another name", "%s was removed from this cluster", name)
	}
	if _, ok := snapshot.Entries[records.PoolerHostPrefix+name]; !ok {
		return refuse(http.StatusForbidden, CodePoolerUnknown, "if it is still to be a host of this cluster: `pgherd pooler admit "+name+" --address ADDRESS` on a member",
			"the cluster's records do not know %s, and not that it was removed: they are older than its join, from before the store was rebuilt", name)
	}
	return nil
}

// checkRemoved keeps a removed host's name from whoever wants it, a member too: it is a host name in that certificate.
func (j *joining) checkRemoved() error {
	e, ok := j.snapshot.Entries[records.PoolerRemovalPrefix+j.Name]
	if !ok {
		return nil
	}
	var r PoolerRemoval
	if err := json.Unmarshal(e.Value, &r); err != nil {
		return err
	}
	if !j.b.Now().Before(r.FreeAt) {
		return nil
	}
	return refuse(http.StatusConflict, "name_removed", "choose another --name", "a host called %s was removed at %s, and its certificate may be good until %s", j.Name, r.RemovedAt.Format(time.RFC3339), r.FreeAt.Format(time.RFC3339))
}

// register writes the registration, and forgets removals whose time is over: one of this name would count more.
func (j *joining) register(ctx context.Context, now time.Time) error {
	for key, e := range j.snapshot.Entries {
		var r PoolerRemoval
		if !strings.HasPrefix(key, records.PoolerRemovalPrefix) || json.Unmarshal(e.Value, &r) != nil || now.Before(r.FreeAt) {
			continue
		}
		if err := j.delete(ctx, key, e.Revision); err != nil && asProblem(err).Code != CodeConflict {
			return err
		}
	}
	return j.put(ctx, records.PoolerHostPrefix+j.Name, PoolerHost{Name: j.Name, Address: j.Address, JoinedAt: now.UTC().Format(time.RFC3339)}, 0)
}

// putPooler takes in, on a member's word, a host that joined after the copy from which the store was rebuilt. It has
// its certificate. Nobody else than an administrator can know that it was not removed since, as the copy would not say that either.
func (s *Server) putPooler(r *http.Request, by string) (any, error) {
	var a PoolerAdmission
	if err := body(r, &a); err != nil {
		return nil, err
	}
	j := &joining{Server: s, JoinRequest: JoinRequest{Name: r.PathValue("name"), Address: a.Address}}
	var err error
	if j.v, j.snapshot, err = s.read(r.Context()); err != nil {
		return nil, err
	}
	for _, check := range []func(context.Context) error{j.checkName, j.checkPoolerAddress} {
		if err := check(r.Context()); err != nil {
			return nil, err
		}
	}
	if err := j.register(r.Context(), s.b.Now()); err != nil {
		return nil, err
	}
	s.b.Log.Warn("a host that only pools is taken in again", "pooler", j.Name, "address", j.Address, "by", by)
	return Accepted{Text: j.Name + " is a host of this cluster again; it goes on by itself if its certificate is good"}, nil
}

// deletePooler is the removal, by a member: first the word of it, then the registration, so that the record does not come
// back. The host may write its record meanwhile: that is read again. Repeated, it goes on where it failed.
func (s *Server) deletePooler(r *http.Request, _ string) (any, error) {
	name := r.PathValue("name")
	for try := range poolerRemoveTries {
		v, snapshot, err := s.read(r.Context())
		if err != nil {
			return nil, err
		}
		if _, err := member(v, name); err == nil {
			return nil, refuse(http.StatusConflict, "is_member", "`pgherd remove "+name+"`", "%s is a member", name)
		}
		left, err := s.removePooler(r.Context(), snapshot, name)
		switch {
		case err != nil:
			return nil, err
		case left:
		case try == 0:
			return nil, refuse(http.StatusNotFound, "no_such_pooler", "`pgherd status` lists the endpoints", "no host that only pools is called %q", name)
		default:
			return Accepted{Text: name + " is removed"}, nil
		}
	}
	return nil, writeProblem(store.ErrConflict)
}

// removePooler says whether there was something left of the host.
func (s *Server) removePooler(ctx context.Context, snapshot store.Snapshot, name string) (left bool, err error) {
	for _, key := range []string{records.PoolerHostPrefix + name, records.PoolerPrefix + name} {
		e, ok := snapshot.Entries[key]
		if !ok {
			continue
		}
		if !left {
			now := s.b.Now().UTC().Truncate(time.Second)
			removal := PoolerRemoval{name, now, now.Add(poolerNameKept)}
			if err := s.put(ctx, records.PoolerRemovalPrefix+name, removal, snapshot.Entries[records.PoolerRemovalPrefix+name].Revision); err != nil && asProblem(err).Code != CodeConflict {
				return true, err
			}
		}
		left = true
		if err := s.delete(ctx, key, e.Revision); err != nil && asProblem(err).Code != CodeConflict {
			return true, err
		}
	}
	return left, nil
}
