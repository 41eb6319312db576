package postgres

import (
	"context"
	"fmt"
	"strings"
)

// ConfigError is PostgreSQL's own complaint about its configuration files.
type ConfigError struct{ Text string }

func (e *ConfigError) Error() string { return "PostgreSQL refuses its configuration: " + e.Text }

// TestConfig lets PostgreSQL read its configuration, with everything included, and
// gives its complaint as *ConfigError. A server may run on the directory meanwhile.
//
// It asks for shared_buffers, a plain parameter: for the computed ones (such as
// shared_memory_size) postgres -C sets up much more and refuses beside a running
// server. Settings that only clash with each other show at the start, not here.
func TestConfig(ctx context.Context, in Instance) error {
	path, args, _ := StartArgs(in)
	cmd := command(ctx, path, append(args, "-C", "shared_buffers")...)
	text, err := run(ctx, cmd, nil)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || text == "" {
		return fmt.Errorf("configuration test: %w", err)
	}
	return &ConfigError{strings.ReplaceAll(text, "\n", "; ")}
}
