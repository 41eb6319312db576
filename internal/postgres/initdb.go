package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// InitOptions shapes a new database cluster.
type InitOptions struct {
	Locale       string // default C.UTF-8: the same on every machine, and its order never changes with glibc
	Encoding     string // default UTF8
	WalSegmentMB int    // 0: PostgreSQL's default (16); a power of two from 1 to 1024
	NoSync       bool   // tests only
}

const includeLine = "include '" + ConfFile + "'"

// InitDB makes a new data directory with data checksums. It is built beside its
// place and renamed in, so a crash leaves either nothing or the whole; calling
// again finishes or begins anew. It refuses when the place is taken. The caller
// writes the mark.
func (in Instance) InitDB(ctx context.Context, o InitOptions) error {
	b := build{in, ".init"}
	if done, err := b.install(); done || err != nil {
		return err
	}
	state, _, _, err := DataState(in)
	if err != nil {
		return err
	}
	if state != DirAbsent && state != DirEmpty {
		return fmt.Errorf("initdb: %s is not empty (%s); nothing was changed", in.DataDir, state)
	}
	if err := b.prepare(); err != nil {
		return err
	}
	if _, err := run(ctx, command(ctx, in.bin("initdb"), in.initArgs(b, o)...), nil); err != nil {
		return err
	}
	if err := ensureInclude(b.dataDir()); err != nil {
		return err
	}
	if err := b.complete(); err != nil {
		return err
	}
	_, err = b.install()
	return err
}

func (in Instance) initArgs(b build, o InitOptions) []string {
	if o.Locale == "" {
		o.Locale = "C.UTF-8"
	}
	if o.Encoding == "" {
		o.Encoding = "UTF8"
	}
	args := []string{"-D", b.dataDir(), "--data-checksums", "-U", in.superuser(), "--auth-local=peer",
		"--auth-host=scram-sha-256", "--no-instructions", "--locale=" + o.Locale, "--lc-messages=C", "--encoding=" + o.Encoding}
	if in.WalDir != "" {
		args = append(args, "--waldir="+b.walDir())
	}
	if o.WalSegmentMB > 0 {
		args = append(args, "--wal-segsize="+strconv.Itoa(o.WalSegmentMB))
	}
	if o.NoSync {
		args = append(args, "--no-sync")
	}
	return args
}

// EnsureInclude appends to postgresql.conf the one line by which it reads
// pgherd.conf, unless it is there. Nothing else of that file is ever touched.
func EnsureInclude(in Instance) error { return ensureInclude(in.DataDir) }

func ensureInclude(dataDir string) error {
	path := filepath.Join(dataDir, "postgresql.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("include line: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if before, _, _ := strings.Cut(line, "#"); strings.TrimSpace(before) == includeLine {
			return nil
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	text = append(text, includeLine+"   # added by pgherd; keep it last\n"...)
	if _, err := writeFile(path, text); err != nil {
		return fmt.Errorf("include line: %w", err)
	}
	return nil
}
