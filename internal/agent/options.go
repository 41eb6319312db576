package agent

import (
	"log/slog"

	"github.com/pgherd/pgherd/internal/spec"
)

// Level is what can be changed of a log.
type Level interface {
	Level() string
	SetLevel(name string) error
}

// Options are what `pgherd run` passes on.
type Options struct {
	Config       spec.Member
	ConfigPath   string // pgherd.yaml
	DetachOnExit bool   // leave PostgreSQL running under the warden
	Log          *slog.Logger
	Level        Level // of Log, which the API changes; nil: it cannot
	Version      string
}
