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

const (
	tokenLifetimeDefault = time.Hour
	tokenLifetimeMax     = 7 * 24 * time.Hour
	tokenKept            = 24 * time.Hour // after its end, so that "used" and "expired" can be told from "unknown"

	tokenMember  = "member"
	tokenWitness = "witness"
	tokenPooler  = "pooler"
)

func (s *Server) postToken(r *http.Request, _ string) (any, error) {
	var request TokenRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	lifetime := request.Lifetime.D()
	if lifetime == 0 {
		lifetime = tokenLifetimeDefault
	}
	if lifetime < time.Second || lifetime > tokenLifetimeMax {
		return nil, badRequest("lifetime %s: want 1s to %s", lifetime, tokenLifetimeMax)
	}
	_, snapshot, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	s.forgetTokens(r.Context(), snapshot)
	return s.newToken(r.Context(), lifetime, request)
}

func (s *Server) newToken(ctx context.Context, lifetime time.Duration, request TokenRequest) (any, error) {
	kind, prefix := tokenMember, records.TokenPrefix
	switch {
	case request.Witness && request.Pooler:
		return nil, badRequest("a token is for a witness or for a pooler")
	case request.Witness:
		kind = tokenWitness
	case request.Pooler:
		kind, prefix = tokenPooler, records.PoolerTokenPrefix
	}
	text, record, err := pki.NewToken(s.ca.Fingerprint(), s.b.Now(), lifetime, kind)
	if err != nil {
		return nil, err
	}
	if err := s.put(ctx, prefix+record.ID, record, 0); err != nil {
		return nil, err
	}
	return TokenAnswer{Token: text, ID: record.ID, Expires: record.Expires.Format(time.RFC3339), Address: s.b.Config.AdvertisedAPI()}, nil
}

// forgetTokens clears the records of tokens that ended long ago. Nothing depends on it.
func (s *Server) forgetTokens(ctx context.Context, snapshot store.Snapshot) {
	for key, e := range snapshot.Entries {
		var record pki.TokenRecord
		if (strings.HasPrefix(key, records.TokenPrefix) || strings.HasPrefix(key, records.PoolerTokenPrefix)) && json.Unmarshal(e.Value, &record) == nil && s.b.Now().Sub(record.Expires) > tokenKept {
			s.tidy(ctx, key, e.Revision)
		}
	}
}
