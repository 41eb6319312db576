package api

import (
	"net/http"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/rebuild"
)

// Paths of what members ask each other when the store is lost.
const (
	RecoveryPath = "/v1/recovery"
	RetirePath   = "/v1/recovery/retire"
)

// RetireRequest asks a member to leave its share of the old store for good.
type RetireRequest struct {
	Generation uint64              `json:"generation"`
	Founder    string              `json:"founder"`
	Members    []core.MemberRecord `json:"members"`
}

func (s *Server) getRecovery(r *http.Request, _ string) (any, error) {
	if s.b.RecoveryAnswer == nil {
		return nil, noRecovery()
	}
	return s.b.RecoveryAnswer(r.Context()), nil
}

// postRecovery is no intent in the store, for there is none. It is only for who sits at this machine: another
// member has no reason to ask for it.
func (s *Server) postRecovery(r *http.Request, by string) (any, error) {
	var q rebuild.Question
	if err := body(r, &q); err != nil {
		return nil, err
	}
	if _, local := r.Context().Value(localKey{}).(int); !local {
		return nil, refuse(http.StatusForbidden, CodeForbidden, "run `pgherd recover` on the member itself", "a store is rebuilt from the machine that is to found it")
	}
	if s.b.Recover == nil {
		return nil, noRecovery()
	}
	return s.b.Recover(r.Context(), q, by)
}

func (s *Server) postRetire(r *http.Request, by string) (any, error) {
	var request RetireRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	if s.b.Retire == nil {
		return nil, noRecovery()
	}
	if err := s.b.Retire(r.Context(), request, by); err != nil {
		return nil, refuse(http.StatusConflict, "not_retired", "`pgherd recover` shows what each member has", "%v", err)
	}
	return Accepted{Text: s.b.Name + " has left its share of the old store"}, nil
}

func noRecovery() error {
	return refuse(http.StatusConflict, "no_recovery", "", "this member cannot rebuild a store")
}
