package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/pgherd/pgherd/internal/store"
)

// Problem is a refusal or failure as RFC 9457 has it (application/problem+json),
// with a stable code and a hint.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Code   string `json:"code"`

	// Instance is where the outcome of what was asked for can be looked up, where it is not known that nothing was changed.
	Instance string `json:"instance,omitempty"`
}

// Codes that commands tell apart. Others are stable too, and stand where they are made.
const (
	CodeUnknownOutcome = "outcome_unknown"
	CodePartlyDone     = "partly_done"
	CodeUnavailable    = "store_unavailable"
	CodeForbidden      = "forbidden"
	CodeBadRequest     = "bad_request"
	CodeConflict       = "conflict"
	CodeTokenSpent     = "token_spent" // a join failed after its token was spent
)

// Error gives title and detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// Refused says that the request was understood and nothing was changed.
func (p *Problem) Refused() bool { return p.Status >= 400 && p.Status < 500 }

// refuse makes a refusal. Status 409: the state does not allow it; 422: the request
// makes no sense in this cluster.
func refuse(status int, code, hint, format string, args ...any) *Problem {
	return &Problem{Title: strings.ToLower(http.StatusText(status)), Status: status, Code: code, Hint: hint, Detail: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *Problem {
	return refuse(http.StatusBadRequest, CodeBadRequest, "", format, args...)
}

// readProblem and writeProblem turn the store's errors into problems. They differ
// because a write without an answer may still take effect.
func readProblem(err error) error {
	if err == nil {
		return nil
	}
	return refuse(http.StatusServiceUnavailable, CodeUnavailable, "`pgherd status` shows which members are missing; more than half of the voters must run", "%v", err)
}

func writeProblem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrConflict):
		return refuse(http.StatusConflict, CodeConflict, "look at the new state, then repeat the command if it is still wanted", "someone else changed the record at the same moment")
	case errors.Is(err, store.ErrUnavailable):
		return refuse(http.StatusGatewayTimeout, CodeUnknownOutcome, "`pgherd status` and `pgherd events` show whether it took effect", "the store did not answer in time: %v", err)
	}
	return err
}

// asProblem makes any error a problem. What is none is a failure of ours.
func asProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "too_large", "", "the request is larger than %d bytes", tooLarge.Limit)
	}
	return refuse(http.StatusInternalServerError, "internal", "", "%v", err)
}

func (p *Problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller is gone
}

// levelOf: a refusal is the caller's matter, a failure is ours. What anybody on the
// network can cause as often as he likes is not written down by default.
func levelOf(p *Problem, by string) slog.Level {
	switch {
	case by == "" && p.Code != CodeTokenSpent:
		return slog.LevelDebug
	case p.Status >= http.StatusInternalServerError:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
