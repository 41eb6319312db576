package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
)

// audited writes down who changed what, beside what came of it: `pgherd events`. What is refused changes nothing, and is
// in the log. What members ask of each other all the time (vouch) is no change that somebody wants.
func (s *Server) audited(pattern string, f answer) answer {
	if strings.HasPrefix(pattern, http.MethodGet+" ") || pattern == "POST /v1/vouch" || pattern == "POST "+RecoveryPath {
		return f // a recovery tells of itself at each of its steps
	}
	return func(r *http.Request, by string) (any, error) {
		value, err := f(r, by)
		tried := pattern == "PUT /v1/spec" && r.URL.Query().Has("dry_run") // the one route that knows of it; elsewhere it would hide a change
		if err == nil && !tried {
			s.b.Journal.Tell(journal.Event{At: s.b.Now(), Member: s.b.Name, Code: journal.EventAudit, Severity: core.Info,
				Text: fmt.Sprintf("%s: %s %s%s", by, r.Method, cut(r.URL.Path), outcome(value))})
		}
		return value, err
	}
}

// outcome says in words what was written, where the answer has words and no secret.
func outcome(value any) string {
	switch v := value.(type) {
	case Accepted:
		return ": " + v.Text
	case core.Operation:
		return fmt.Sprintf(": %s %s", v.Kind, v.ID)
	case SpecResult:
		return fmt.Sprintf(": %d changes", len(v.Changes))
	case TokenAnswer:
		return ": join token " + v.ID
	case AccessAnswer:
		return fmt.Sprintf(": access token %s of %s, %s", v.ID, v.Name, v.Role)
	case ViewerAnswer:
		return fmt.Sprintf(": certificate of viewer %s until %s", v.Name, v.Expires)
	}
	return ""
}
