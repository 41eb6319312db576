package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/store"
)

// attempt is one change that somebody asks for: its id, and what was written for it so far, whatever becomes of the rest.
type attempt struct {
	id      string
	wrote   bool // something
	unknown bool // a write had no answer
	done    bool // accepted, or lasting although it failed: there is an outcome to look up
}

type attemptKey struct{}

func withAttempt(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), attemptKey{}, &attempt{id: newID()}))
}

func attemptOf(ctx context.Context) *attempt {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		return a
	}
	return &attempt{} // what is no change, such as a pooler's own record, has nobody to tell
}

// changeID is the id of the change that is asked for. Records that it is followed by carry it.
func changeID(ctx context.Context) string { return attemptOf(ctx).id }

// written is a write's error as a problem; what it means for the change is remembered.
func written(ctx context.Context, err error) error {
	a := attemptOf(ctx)
	switch {
	case err == nil:
		a.wrote = true
	case errors.Is(err, store.ErrUnavailable):
		a.unknown = true
	}
	return writeProblem(err)
}

// outcomePath is where the outcome of the change is to be looked up; empty when nothing was changed.
func outcomePath(ctx context.Context) string {
	if a := attemptOf(ctx); a.done {
		return OutcomePath + a.id
	}
	return ""
}

// isChange: what members ask of each other all the time (vouch) is none that somebody wants, and a recovery tells of itself
// at each of its steps.
func isChange(pattern string) bool {
	return !strings.HasPrefix(pattern, http.MethodGet+" ") && pattern != "POST /v1/vouch" && pattern != "POST "+RecoveryPath
}

// audited writes down who changed what, beside what came of it: `pgherd events`. What is refused changes nothing, and is in
// the log; what failed when a part of it was written, or had no answer, is written down as that.
func (s *Server) audited(pattern string, f answer) answer {
	return func(r *http.Request, by string) (any, error) {
		value, err := f(r, by)
		a := attemptOf(r.Context())
		tried := pattern == "PUT /v1/spec" && r.URL.Query().Has("dry_run") // the one route that knows of it; elsewhere it would hide a change
		if tried || err != nil && !a.wrote && !a.unknown {
			return value, err
		}
		a.done = true
		e := journal.Event{Code: journal.EventAudit, Severity: core.Info, Operation: a.id, Text: fmt.Sprintf("%s: %s %s", by, r.Method, cut(r.URL.Path))}
		if accepted, ok := value.(Accepted); ok {
			accepted.ID = a.id
			value = accepted
		}
		said := ""
		switch {
		case err == nil:
			said, e.Phase = outcome(value)
		case a.unknown:
			e.Severity, e.Phase, said = core.Warning, journal.PhaseUnknown, ": it failed, and may have taken effect: "+err.Error()
		default:
			e.Severity, e.Phase, said = core.Warning, core.PhaseAborted, ": it failed when a part of it was written: "+err.Error()
		}
		e.Text += said
		s.tell(e)
		if err != nil {
			err = lasting(err, a)
		}
		return value, err
	}
}

// lasting says of a failure that it may have changed something, and where to look.
func lasting(err error, a *attempt) error {
	p := *asProblem(err)
	if !a.unknown { // a refusal would have changed nothing
		p = *refuse(http.StatusInternalServerError, CodePartlyDone, "", "a part of it was written, then it failed: %s", p.Detail)
	}
	p.Instance, p.Hint = OutcomePath+a.id, "`pgherd outcome "+a.id+"` and `pgherd status` show what took effect"
	return &p
}

// tell writes an event of this member's into its journal.
func (s *Server) tell(e journal.Event) {
	e.At, e.Member = s.b.Now(), s.b.Name
	if s.b.Journal != nil {
		s.b.Journal.Tell(e)
	}
}

// outcome says in words what was written, where the answer has words and no secret, and how far it has come.
func outcome(value any) (text, phase string) {
	switch v := value.(type) {
	case core.Operation:
		return fmt.Sprintf(": %s %s", v.Kind, v.ID), v.Phase
	case Accepted:
		if v.Kind != "" {
			return ": " + v.Text, core.PhaseRequested
		}
		return ": " + v.Text, core.PhaseDone
	}
	return words(value), core.PhaseDone
}

func words(value any) string {
	switch v := value.(type) {
	case SpecResult:
		return fmt.Sprintf(": %d changes", len(v.Changes))
	case LogLevel:
		return ": " + v.Level
	case TokenAnswer:
		return ": join token " + v.ID
	case AccessAnswer:
		return fmt.Sprintf(": access token %s of %s, %s", v.ID, v.Name, v.Role)
	case ViewerAnswer:
		return fmt.Sprintf(": certificate of viewer %s until %s", v.Name, v.Expires)
	}
	return ""
}
