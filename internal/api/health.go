package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/ui"
)

// healthRoutes are what load balancers ask: 200 or 503 and no word more, for anybody, as whoever may connect to
// PostgreSQL can find out as much; who is known as a viewer gets Patroni's document with it, as Patroni gives everybody. A query that cannot be read is 400: no load balancer takes that for a yes.
func (s *Server) healthRoutes(mux *router) {
	for _, path := range health.Paths() {
		pattern := path
		if path == "/" {
			pattern = "/{$}"
		}
		for _, method := range healthMethods { // HEAD comes with GET
			mux.HandleFunc(method+" "+pattern, func(w http.ResponseWriter, r *http.Request) { s.getHealth(w, r, path) })
		}
	}
}

// short are those that Patroni answers without its document.
var short = map[string]bool{"/liveness": true, "/readiness": true}

var healthMethods = []string{http.MethodGet, http.MethodOptions}

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request, path string) {
	if path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" { // a person: no load balancer says that it navigates
		http.Redirect(w, r, ui.Path, http.StatusSeeOther)
		return
	}
	yes, err := health.Answer(path, r.URL.Query(), s.b.Health())
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case err != nil:
		asProblem(badRequest("%v", err)).write(w)
		return
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", strings.Join(append([]string{http.MethodHead}, healthMethods...), ", "))
	}
	var document []byte
	if !short[path] {
		document = s.withNode(w, r)
	}
	if w.Header().Set("Content-Length", strconv.Itoa(len(document))); !yes {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(document) // the caller is gone
}
