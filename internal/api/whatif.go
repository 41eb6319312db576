package api

import (
	"net/http"
	"slices"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/whatif"
)

// EachFault asks for every single fault of a member, and of the store.
const EachFault = "each"

// getWhatIf: GET /v1/whatif?fault=n1=down answers a list of one, fault=each of all single faults.
func (s *Server) getWhatIf(r *http.Request, _ string) (any, error) {
	v, err := s.readAnyway(r.Context())
	if len(v.Members) == 0 {
		return nil, err // without members nothing can be said
	}
	facts := s.facts(v, s.b.Members())
	names := []string{}
	for _, m := range v.Members {
		names = append(names, m.Name)
	}
	text := r.URL.Query().Get("fault")
	if text == EachFault {
		return each(facts, names), nil
	}
	faults, err := whatif.Parse(text, names)
	if err != nil {
		return nil, badRequest("fault: %v", err)
	}
	return []whatif.Answer{whatif.Ask(facts, faults)}, nil
}

func (s *Server) facts(v core.StoreView, known map[string]peer.Status) whatif.Facts {
	f := whatif.Facts{Store: v, Peers: map[string]core.Peer{}}
	for name, p := range known {
		f.Peers[name] = p.Seen()
	}
	if f.Voters = s.voters(v); len(f.Voters) == 0 && len(s.storeEndpoints()) == 0 { // not asked yet; nobody would mean an external store
		f.Voters = core.Voters(v.Members)
	}
	return f
}

func each(f whatif.Facts, names []string) []whatif.Answer {
	out := []whatif.Answer{}
	for _, name := range names {
		kinds := []string{whatif.Down, whatif.Postgres, whatif.Cut}
		if slices.ContainsFunc(f.Store.Members, func(m core.MemberRecord) bool { return m.Name == name && m.Witness }) {
			kinds = []string{whatif.Down, whatif.Cut}
		}
		for _, kind := range kinds {
			out = append(out, whatif.Ask(f, []whatif.Fault{{What: name, Kind: kind}}))
		}
	}
	return append(out, whatif.Ask(f, []whatif.Fault{{What: whatif.Store, Kind: whatif.Down}}))
}
