package agent

import (
	"log/slog"

	"github.com/pgherd/pgherd/internal/spec"
)

// Options are what `pgherd run` passes on.
type Options struct {
	Config       spec.Member
	ConfigPath   string // pgherd.yaml
	DetachOnExit bool   // leave PostgreSQL running under the warden
	Log          *slog.Logger
	Version      string
}
