package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/pgherd/pgherd/internal/pki"
)

// Role is what somebody may do who is neither a member nor an administrator of this machine. Each may do what the ones
// before it may.
type Role string

// The roles of access tokens.
const (
	RoleViewer   Role = "viewer"   // looks
	RoleOperator Role = "operator" // moves roles, restarts, drains, pauses: nothing that loses commits or changes who is in
	RoleAdmin    Role = "admin"    // takes stated losses, changes the spec, removes members
	roleMember   Role = "member"   // members and local administrators; no token gives it
)

var ranks = map[Role]int{RoleViewer: 1, RoleOperator: 2, RoleAdmin: 3, roleMember: 4}

// needed says which role opens a route. A route that is not named is for members and local administrators: whoever adds one
// and forgets this list has locked it. No token makes tokens, neither for access nor for a join, which hands out the CA's key.
var needed = map[string]Role{
	"GET /v1/status":             RoleViewer,
	"GET /v1/endpoints":          RoleViewer,
	"GET /v1/explain":            RoleViewer,
	"GET /v1/whatif":             RoleViewer,
	"GET /v1/events":             RoleViewer,
	"GET " + WatchPath:           RoleViewer,
	"GET " + LivePath:            RoleViewer,
	"GET " + MetricsPath:         RoleViewer,
	"GET /v1/operations/current": RoleViewer,
	"GET /v1/operations/{id}":    RoleViewer,
	"GET /v1/forks":              RoleViewer,
	"GET /v1/access/self":        RoleViewer,
	"GET " + LogPath:             RoleViewer,
	"PUT " + LogPath:             RoleOperator,
	"GET " + NodePath:            RoleViewer,
	"GET " + ClusterPath:         RoleViewer,
	"GET " + HistoryPath:         RoleViewer,

	"POST /v1/operations":              RoleOperator, // but see postOperation
	"DELETE /v1/operations/current":    RoleOperator,
	"PUT /v1/members/{name}/drain":     RoleOperator,
	"DELETE /v1/members/{name}/drain":  RoleOperator,
	"POST /v1/members/{name}/requests": RoleOperator,
	"POST /v1/pause":                   RoleOperator,
	"DELETE /v1/pause":                 RoleOperator,

	"GET /v1/spec":                         RoleAdmin, // parameters may hold what is nobody else's business
	"PUT /v1/spec":                         RoleAdmin,
	"DELETE /v1/members/{name}":            RoleAdmin,
	"DELETE /v1/poolers/{name}":            RoleAdmin,
	"GET /v1/members/{name}/forks/{id}":    RoleAdmin, // the summary names rows
	"DELETE /v1/members/{name}/forks/{id}": RoleAdmin,
}

func roleFor(pattern string) Role {
	if role, ok := needed[pattern]; ok {
		return role
	}
	return roleMember
}

// who is a caller that was let in.
type who struct {
	name string
	role Role
}

type whoKey struct{}

// authorize lets the caller in if its role is at least need. An address that was refused too often has no token judged
// for a while; certificates are judged always.
func (s *Server) authorize(r *http.Request, need Role) (who, error) {
	token := r.Header.Get("Authorization") != ""
	if token && s.strangers.tooMany(r) {
		return who{}, errTooMany
	}
	w, err := s.identify(r)
	if err != nil && token && asProblem(err).Status == http.StatusUnauthorized { // not when the store could not be asked
		s.strangers.refused(r)
	}
	if err == nil && ranks[w.role] < ranks[need] {
		err = forbidden(w, need)
	}
	return w, err
}

// admit is authorize for a handler that writes its own answer: false when the caller was answered already.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, need Role) (who, bool) {
	by, err := s.authorize(r, need)
	if err != nil {
		asProblem(err).write(w)
	}
	return by, err == nil
}

func forbidden(w who, need Role) error {
	hint := "an access token of that role: `pgherd access create NAME --role " + string(need) + "`"
	if need == roleMember {
		hint = "run the command on a member"
	}
	return refuse(http.StatusForbidden, CodeForbidden, hint, "%s has the role %s; this needs %s", w.name, w.role, need)
}

// identify knows members and viewers by their certificates, local administrators by their user, and anybody else by an access
// token. A certificate is judged by itself, so that who has one may look while the store is lost.
func (s *Server) identify(r *http.Request) (who, error) {
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.bearer(r.Context(), text)
	}
	by, err := s.caller(r)
	if err == nil {
		return who{by, roleMember}, nil
	}
	if name, notViewer := pki.ViewerName(r.TLS, s.clusterID); notViewer == nil {
		return who{"viewer " + name, RoleViewer}, nil
	}
	return who{}, err
}

// atLeast refuses what only the request's content shows to need more than its route.
func atLeast(r *http.Request, need Role) error {
	w, _ := r.Context().Value(whoKey{}).(who)
	if ranks[w.role] < ranks[need] {
		return forbidden(w, need)
	}
	return nil
}

func withCaller(r *http.Request, w who) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), whoKey{}, w))
}

// sameSite refuses what a page of somebody else's has a browser ask for: a browser that knows a certificate, or a user's socket
// behind a forwarded port, would answer for its owner. Browsers always say where a request comes from, programs never do.
func sameSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
		}
		if strings.HasPrefix(r.URL.Path, "/v1/") && crossSite(r) {
			refuse(http.StatusForbidden, "cross_site", "", "another site's page may not ask this").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func crossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}
