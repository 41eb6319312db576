package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/spec"
)

// Exit codes; scripts rely on them.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2 // the command was wrong; nothing was sent
	ExitRefused = 3 // the cluster or this machine said no; nothing was changed
	ExitUnknown = 4 // the answer did not come in time; the hint says how to find out
)

const findOut = "`pgherd status` and `pgherd events` show whether it took effect"

// exitError is an error with its exit code and a hint.
type exitError struct {
	code int
	hint string
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(hint, format string, args ...any) error {
	return &exitError{ExitUsage, hint, fmt.Errorf(format, args...)}
}

func refused(hint, format string, args ...any) error {
	return &exitError{ExitRefused, hint, fmt.Errorf(format, args...)}
}

func failed(hint, format string, args ...any) error {
	return &exitError{ExitFailed, hint, fmt.Errorf(format, args...)}
}

// silent ends with a code after the command has said everything itself.
type silent int

func (s silent) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// mutation marks the error of a call that may have changed something: when its
// answer is missing, nobody knows.
func mutation(err error) error {
	if errors.Is(err, api.ErrLost) {
		return &exitError{ExitUnknown, findOut, err}
	}
	return err
}

// report prints an error and gives its exit code.
func report(w io.Writer, err error) int {
	var quiet silent
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	var list spec.Errors
	if errors.As(err, &list) && len(list) > 0 {
		for _, one := range list {
			bare := *one
			bare.Hint = ""
			printError(w, bare.Error(), one.Hint)
		}
		return codeOf(err, ExitFailed)
	}
	var p *api.Problem
	if errors.As(err, &p) {
		printError(w, problemText(p), p.Hint)
		return problemCode(p)
	}
	printError(w, err.Error(), hintOf(err))
	return codeOf(err, ExitFailed)
}

func printError(w io.Writer, text, hint string) {
	fmt.Fprintf(w, "error: %s\n", text)
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

func problemText(p *api.Problem) string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

func problemCode(p *api.Problem) int {
	switch {
	case p.Code == api.CodeUnknownOutcome:
		return ExitUnknown
	case p.Status == http.StatusBadRequest:
		return ExitUsage
	case p.Refused():
		return ExitRefused
	}
	return ExitFailed
}

func codeOf(err error, otherwise int) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return otherwise
}

func hintOf(err error) string {
	var e *exitError
	var h interface{ Hint() string }
	switch {
	case errors.As(err, &e) && e.hint != "":
		return e.hint
	case errors.As(err, &h):
		return h.Hint()
	case errors.Is(err, api.ErrNoAgent) && errors.Is(err, fs.ErrPermission):
		return "run the command as root or as the agent's user"
	case errors.Is(err, api.ErrNoAgent):
		return "start it with `pgherd run`, or `systemctl start pgherd`"
	}
	return ""
}
