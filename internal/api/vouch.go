package api

import (
	"net/http"

	"github.com/pgherd/pgherd/internal/core"
)

// CodeNotVouched is the refusal of POST /v1/vouch.
const CodeNotVouched = "not_vouched"

// postVouch promises another member, and nobody else, that its lease counts as just renewed here. It
// is no intent in the store, for it is asked when the store is silent.
func (s *Server) postVouch(r *http.Request, by string) (any, error) {
	var v core.Vouch
	if err := body(r, &v); err != nil {
		return nil, err
	}
	if by != v.Holder || s.b.Vouch == nil {
		return nil, refuse(http.StatusForbidden, CodeForbidden, "", "%q may not ask to vouch for %q", by, v.Holder)
	}
	if err := s.b.Vouch(v); err != nil {
		return nil, refuse(http.StatusConflict, CodeNotVouched, "", "%v", err)
	}
	return struct{}{}, nil
}
