package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/pgherd/pgherd/internal/ui"
)

// answer is what a handler gives: a value for JSON, or an error.
type answer func(r *http.Request, by string) (any, error)

// router remembers what was registered: tests hold the tables of roles, of descriptions and of audits against all there is.
type router struct {
	http.ServeMux
	patterns []string
}

// HandleFunc registers a route, as that of http.ServeMux.
func (m *router) HandleFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.HandleFunc(pattern, f)
}

func (s *Server) routes() http.Handler { return sameSite(s.router()) }

// router has all routes: all but the joins need a role (see needed), and most of the rest are for members and local administrators.
func (s *Server) router() *router {
	mux := &router{}
	s.patroniRoutes(mux)
	s.healthRoutes(mux)
	for pattern, f := range s.answers() {
		mux.HandleFunc(pattern, s.trusted(roleFor(pattern), pattern, f))
	}
	mux.HandleFunc("GET "+PoolerStatePath, s.asPooler(s.getPoolerState))
	mux.HandleFunc("PUT "+PoolerRecordPath, s.asPooler(s.putPoolerRecord))
	mux.HandleFunc("DELETE "+PoolerRecordPath, s.asPooler(s.deletePoolerRecord))
	mux.HandleFunc("POST "+PoolerRenewPath, s.asPooler(s.postPoolerRenew))
	mux.HandleFunc("GET "+PoolerWatchPath, s.getPoolerWatch)
	mux.HandleFunc("GET "+OpenAPIPath, getOpenAPI)
	mux.HandleFunc("GET "+WatchPath, s.getWatch)
	mux.HandleFunc("GET "+LivePath, s.getLive)
	mux.HandleFunc("GET "+ui.Path, ui.Handler().ServeHTTP)
	mux.HandleFunc("POST "+PoolerJoinPath, s.open(s.postPoolerJoin))
	mux.HandleFunc("POST "+JoinPath, s.open(s.postJoin))
	mux.HandleFunc("/", s.open(func(r *http.Request, _ string) (any, error) {
		return nil, refuse(http.StatusNotFound, "no_route", "", "there is no %s %s", r.Method, r.URL.Path)
	}))
	return mux
}

// answers are the routes that take and give JSON, for who has a role.
func (s *Server) answers() map[string]answer {
	return map[string]answer{
		"GET /v1/member":                   s.getMember,
		"POST /v1/vouch":                   s.postVouch,
		"GET " + RecoveryPath:              s.getRecovery,
		"POST " + RecoveryPath:             s.postRecovery,
		"POST " + RetirePath:               s.postRetire,
		"GET /v1/status":                   s.getStatus,
		"GET /v1/endpoints":                s.getEndpoints,
		"GET /v1/explain":                  s.getExplain,
		"GET /v1/whatif":                   s.getWhatIf,
		"GET /v1/events":                   s.getEvents,
		"GET /v1/spec":                     s.getSpec,
		"PUT /v1/spec":                     s.putSpec,
		"POST /v1/operations":              s.postOperation,
		"GET /v1/operations/current":       s.getOperation,
		"GET /v1/operations/{id}":          s.getOutcome,
		"DELETE /v1/operations/current":    s.deleteOperation,
		"PUT /v1/members/{name}/drain":     s.putDrain,
		"DELETE /v1/members/{name}/drain":  s.deleteDrain,
		"POST /v1/members/{name}/requests": s.postRequest,
		"DELETE /v1/members/{name}":        s.deleteMember,
		"PUT /v1/poolers/{name}":           s.putPooler,
		"DELETE /v1/poolers/{name}":        s.deletePooler,
		"GET /v1/forks":                    s.getForks,

		"GET /v1/members/{name}/forks/{id}":    s.getFork,
		"DELETE /v1/members/{name}/forks/{id}": s.deleteFork,

		"POST /v1/pause":   s.postPause,
		"DELETE /v1/pause": s.deletePause,
		"POST /v1/tokens":  s.postToken,
		"POST /v1/viewers": s.postViewer,

		"POST " + AccessPath:             s.postAccess,
		"GET " + AccessPath:              s.getAccess,
		"GET " + AccessPath + "/self":    s.getSelf,
		"DELETE " + AccessPath + "/{id}": s.deleteAccess,

		"GET " + LogPath: s.getLog,
		"PUT " + LogPath: s.putLog,
	}
}

// trusted answers who has the role. What is a change has an id, and is written down whatever becomes of it.
func (s *Server) trusted(need Role, pattern string, f answer) http.HandlerFunc {
	change := isChange(pattern)
	if change {
		f = s.audited(pattern, f)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		by, ok := s.admit(w, r, need)
		if !ok {
			return
		}
		r = withCaller(r, by)
		if change {
			r = withAttempt(r)
		}
		s.respond(w, r, f, by.name)
	}
}

func (s *Server) open(f answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.respond(w, r, f, "") }
}

func (s *Server) respond(w http.ResponseWriter, r *http.Request, f answer, by string) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytesMax)
	value, err := f(r, by)
	if at := outcomePath(r.Context()); at != "" {
		w.Header().Set("Location", at)
	}
	if err == nil {
		var data []byte
		if data, err = json.Marshal(value); err == nil {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(append(data, '\n')) // the caller is gone
			return
		}
	}
	p := asProblem(err)
	s.b.Log.Log(r.Context(), levelOf(p, by), "api", "method", cut(r.Method), "path", cut(r.URL.Path), "by", by, "code", p.Code, "error", cut(p.Error()))
	p.write(w)
}

const loggedBytesMax = 200

// cut keeps a caller's words from filling the log.
func cut(text string) string {
	if len(text) <= loggedBytesMax {
		return text
	}
	return strings.ToValidUTF8(text[:loggedBytesMax], "") + "..."
}

// body reads a JSON body strictly: a misspelt field must not be a silent default.
func body(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more after the JSON value")
		}
	}
	var tooLarge *http.MaxBytesError
	if err == nil || errors.As(err, &tooLarge) {
		return err
	}
	return badRequest("the body cannot be read: %v", err)
}
