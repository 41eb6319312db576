package act

import "github.com/pgherd/pgherd/internal/core"

// StepError says which step of a plan failed.
type StepError struct {
	Kind core.StepKind
	Err  error
}

func (e *StepError) Error() string { return string(e.Kind) + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *StepError) Unwrap() error { return e.Err }
