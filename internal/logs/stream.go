package logs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/pgherd/pgherd/internal/spec"
)

// Stream is a logger whose level can be changed.
type Stream struct {
	*slog.Logger
	level *slog.LevelVar
}

// New writes to w as the member's file says.
func New(w io.Writer, s spec.Log, member string) (Stream, error) {
	s = s.WithDefaults()
	level := &slog.LevelVar{}
	out := Stream{level: level}
	if err := out.SetLevel(s.Level); err != nil {
		return Stream{}, err
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if s.Format == spec.LogJSON {
		handler = slog.NewJSONHandler(w, options)
	}
	out.Logger = slog.New(handler).With("member", member)
	return out, nil
}

// Level is debug, info, warn or error.
func (s Stream) Level() string {
	if s.level == nil {
		return spec.LogInfo
	}
	return strings.ToLower(s.level.Level().String())
}

// SetLevel changes what is written from now on.
func (s Stream) SetLevel(name string) error {
	if !spec.LogLevel(name) {
		return fmt.Errorf("%q is no level: %s", name, strings.Join(spec.LogLevels, ", "))
	}
	if s.level == nil {
		return fmt.Errorf("the level of this log cannot be changed")
	}
	return s.level.UnmarshalText([]byte(name))
}
