package api

import (
	"encoding/json"
	"net/http"

	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/patroni"
)

// Patroni's documents, at its own paths: what watches Patroni asks there. They hold what GET /v1/status does, and are
// for viewers like it.
const (
	NodePath    = "/patroni"
	ClusterPath = "/cluster"
	HistoryPath = "/history"
)

func (s *Server) patroniRoutes(mux *router) {
	mux.HandleFunc(http.MethodGet+" "+MetricsPath, s.getMetrics)
	for path, f := range map[string]answer{NodePath: s.getNode, ClusterPath: s.getCluster, HistoryPath: s.getHistory} {
		pattern := http.MethodGet + " " + path
		mux.HandleFunc(pattern, s.trusted(roleFor(pattern), pattern, f))
	}
}

func (s *Server) getNode(*http.Request, string) (any, error) { return s.node(), nil }

func (s *Server) node() patroni.Node {
	now := s.b.Snapshot()
	return patroni.NodeOf(&now)
}

func (s *Server) getCluster(*http.Request, string) (any, error) {
	now := s.b.Snapshot()
	return patroni.ClusterOf(&now), nil
}

// getHistory asks the other members too: who began a timeline is in the journal of the one who did.
func (s *Server) getHistory(r *http.Request, _ string) (any, error) {
	now := s.b.Snapshot()
	events := s.ownEvents(eventsMax)
	if s.b.Peers != nil {
		events = s.allEvents(r.Context(), now.View.Store.Members, eventsMax, nil).Events
	}
	var opened []patroni.Opened
	for _, e := range events {
		if e.Code == journal.EventOpen && e.Timeline != 0 {
			opened = append(opened, patroni.Opened{Timeline: e.Timeline, At: e.At, Member: e.Member})
		}
	}
	i := now.Instance()
	return patroni.HistoryOf(i.History, i.Timeline, opened), nil
}

// withNode is the body of a health answer for who may see more than a yes or no. A caller who may not is told nothing
// of that: a load balancer with an old token is to go on.
func (s *Server) withNode(w http.ResponseWriter, r *http.Request) []byte {
	if r.Method != http.MethodGet || r.Header.Get("Authorization") == "" && (r.TLS == nil || len(r.TLS.PeerCertificates) == 0) {
		return nil
	}
	if _, err := s.authorize(r, RoleViewer); err != nil {
		return nil
	}
	data, err := json.Marshal(s.node())
	if err != nil {
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	return append(data, '\n')
}
