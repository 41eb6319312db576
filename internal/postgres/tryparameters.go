package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// TryParameters lets PostgreSQL judge parameters as an addition to its configuration
// as it stands, without changing a file or a running server. Its complaint is a
// *ConfigError. The values travel in a private file, never on a command line.
func TryParameters(ctx context.Context, in Instance, parameters map[string]string) error {
	if there, err := exists(in.path(ConfFile)); err != nil || !there {
		return err // nothing was ever rendered here: there is no whole configuration to add to
	}
	dir, err := os.MkdirTemp("", "pgherd-try-")
	if err != nil {
		return fmt.Errorf("trying parameters: %w", err)
	}
	defer os.RemoveAll(dir)
	var b bytes.Buffer
	fmt.Fprintf(&b, "include %s\n", quoteGUC(in.path("postgresql.conf")))
	for name, value := range parameters {
		if err := checkParameter(name, value); err != nil {
			return &ConfigError{err.Error()}
		}
		fmt.Fprintf(&b, "%s = %s\n", name, quoteGUC(value))
	}
	file := filepath.Join(dir, "try.conf")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("trying parameters: %w", err)
	}
	path, args, _ := StartArgs(in)
	args = append(args, "-c", "config_file="+file, "-C", "shared_buffers")
	text, err := run(ctx, command(ctx, path, args...), nil)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || text == "" {
		return fmt.Errorf("trying parameters: %w", err)
	}
	return &ConfigError{strings.ReplaceAll(strings.ReplaceAll(text, file, "the spec"), "\n", "; ")}
}
