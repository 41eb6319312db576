package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
)

// AccessPath is where access tokens are made, listed and revoked.
const AccessPath = "/v1/access"

// accessPrefix is not that of join tokens: an agent of before would take such a record for one.
const accessPrefix = "accesstokens/"

const (
	accessLifetimeDefault = 12 * time.Hour
	accessLifetimeMax     = 365 * 24 * time.Hour
	accessFresh           = 2 * time.Second        // for so long a revoked token may still be taken
	accessAgain           = 500 * time.Millisecond // between looks for a token that is not known: anybody can ask
)

// AccessRequest is the body of POST /v1/access.
type AccessRequest struct {
	Name     string        `json:"name"` // whose it is; stands in the operations that it begins
	Role     Role          `json:"role"`
	Lifetime spec.Duration `json:"lifetime"`
}

// Access is one access token, without its secret.
type Access struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Expires time.Time `json:"expires"`
}

// AccessAnswer holds a new token: the only moment at which it is seen.
type AccessAnswer struct {
	Access
	Token string `json:"token"`
	URL   string `json:"url"` // of this member's dashboard
}

// accessRecord (key "accesstokens/ID") is what the store keeps; Kind is the role.
type accessRecord struct {
	pki.TokenRecord
	Name string `json:"name"`
	By   string `json:"by,omitempty"`
}

func (a accessRecord) access() Access {
	return Access{ID: a.ID, Name: a.Name, Role: Role(a.Kind), Expires: a.Expires}
}

// accessBook is what this member knows of access tokens. It outlives the store's silence: that is when people look.
type accessBook struct {
	mu      sync.Mutex
	records map[string]accessRecord
	readAt  time.Time
	err     error // of that look
}

func (s *Server) postAccess(r *http.Request, by string) (any, error) {
	var request AccessRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	lifetime := request.Lifetime.D()
	if lifetime == 0 {
		lifetime = accessLifetimeDefault
	}
	if err := spec.CheckName(request.Name); err != nil {
		return nil, badRequest("name: %v", err)
	}
	switch {
	case !slices.Contains([]Role{RoleViewer, RoleOperator, RoleAdmin}, request.Role):
		return nil, badRequest("role %q: want viewer, operator or admin", request.Role)
	case lifetime < time.Second || lifetime > accessLifetimeMax:
		return nil, badRequest("lifetime %s: want 1s to %s", lifetime, accessLifetimeMax)
	}
	_, snapshot, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	s.forgetAccess(r.Context(), snapshot)
	text, token, err := pki.NewToken(s.ca.Fingerprint(), s.b.Now(), lifetime, string(request.Role))
	if err != nil {
		return nil, err
	}
	record := accessRecord{token, request.Name, by}
	if err := s.put(r.Context(), accessPrefix+record.ID, record, 0); err != nil {
		return nil, err
	}
	return AccessAnswer{record.access(), text, "https://" + s.b.Config.AdvertisedAPI() + "/ui/"}, nil
}

// getAccess lists the tokens that are good now.
func (s *Server) getAccess(r *http.Request, _ string) (any, error) {
	_, snapshot, err := s.read(r.Context())
	list := []Access{}
	for _, record := range accessRecords(snapshot) {
		if record.Expires.After(s.b.Now()) {
			list = append(list, record.access())
		}
	}
	slices.SortFunc(list, func(a, b Access) int { return a.Expires.Compare(b.Expires) })
	return list, err
}

// Self answers GET /v1/access/self.
type Self struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	On   string `json:"on"` // the member that answers
}

// getSelf says who asks.
func (s *Server) getSelf(r *http.Request, _ string) (any, error) {
	w, _ := r.Context().Value(whoKey{}).(who)
	return Self{w.name, w.role, s.b.Name}, nil
}

func (s *Server) deleteAccess(r *http.Request, _ string) (any, error) {
	id := r.PathValue("id")
	_, snapshot, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	e, ok := snapshot.Entries[accessPrefix+id]
	if !ok {
		return nil, refuse(http.StatusNotFound, "no_such_token", "`pgherd access list` shows them", "no access token is called %q", id)
	}
	return Accepted{ID: id, Text: "the access token " + id + " is revoked"}, s.delete(r.Context(), accessPrefix+id, e.Revision)
}

// bearer judges an access token. Why one is refused is told to who knows its secret only.
func (s *Server) bearer(ctx context.Context, text string) (who, error) {
	unknown := refuse(http.StatusUnauthorized, "token_refused", "`pgherd access create` makes another", "this access token is not known")
	token, err := pki.ParseToken(text)
	if err != nil {
		return who{}, unknown
	}
	record, err := s.access.find(ctx, token.ID, func() (map[string]accessRecord, error) {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout/3)
		defer cancel()
		_, snapshot, err := s.read(ctx)
		return accessRecords(snapshot), err
	})
	if err != nil {
		return who{}, readProblem(fmt.Errorf("whether this access token is good cannot be known now: %w", err))
	}
	switch err := record.Check(token, s.b.Now()); {
	case errors.Is(err, pki.ErrTokenExpired):
		return who{}, refuse(http.StatusUnauthorized, "token_expired", unknown.Hint, "the access token of %s has expired", record.Name)
	case err != nil || ranks[Role(record.Kind)] == 0 || Role(record.Kind) == roleMember:
		return who{}, unknown
	}
	return who{record.Name + " (token " + record.ID + ")", Role(record.Kind)}, nil
}

// find reads the records again when they are old, or when id is not among them. What was read last counts while
// the store is silent: nothing can be changed then, and who could look goes on looking. One that is not known was perhaps made a moment
// ago, at another member: it waits for the next look, and where there can be none nobody says that it is bad.
func (b *accessBook) find(ctx context.Context, id string, read func() (map[string]accessRecord, error)) (accessRecord, error) {
	asked := time.Now()
	for {
		b.mu.Lock()
		record, known := b.records[id]
		if age := time.Since(b.readAt); known && age > accessFresh || !known && age > accessAgain {
			records, err := read()
			b.readAt, b.err = time.Now(), err
			if err == nil {
				b.records = records
			}
			record, known = b.records[id]
		}
		readAt, err := b.readAt, b.err
		b.mu.Unlock()
		if known {
			return record, nil
		}
		if readAt.After(asked) {
			return record, err
		}
		select {
		case <-time.After(time.Until(readAt.Add(accessAgain + time.Millisecond))):
		case <-ctx.Done():
			return record, ctx.Err()
		}
	}
}

func accessRecords(snapshot store.Snapshot) map[string]accessRecord {
	records := map[string]accessRecord{}
	for key, e := range snapshot.Entries {
		var record accessRecord
		if id, ok := strings.CutPrefix(key, accessPrefix); ok && json.Unmarshal(e.Value, &record) == nil && record.ID == id {
			records[id] = record
		}
	}
	return records
}

// forgetAccess clears the records of tokens that ended long ago.
func (s *Server) forgetAccess(ctx context.Context, snapshot store.Snapshot) {
	for id, record := range accessRecords(snapshot) {
		if s.b.Now().Sub(record.Expires) > tokenKept {
			s.tidy(ctx, accessPrefix+id, snapshot.Entries[accessPrefix+id].Revision)
		}
	}
}
