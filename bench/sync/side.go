package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/bench/pgbench"
	"github.com/pgherd/pgherd/internal/demo"
)

// side switches the same three servers between pgherd and nobody. pgherd is killed, not
// stopped: then each server's files say what it was at that moment, the primary with its
// synchronous_standby_names and the standbys with their source.
type side struct {
	c       *demo.Cluster
	o       options
	primary string
	names   string      // synchronous_standby_names
	plain   []*exec.Cmd // running postmasters; nil: pgherd runs
}

// measure runs the pairs, each in the other order than the one before, so that what drifts (a
// cache, the table's bloat, a neighbour's load) is on both sides.
func (s *side) measure(ctx context.Context) (pairs []pair, err error) {
	if err := s.toHerd(ctx); err != nil {
		return nil, err
	}
	say("pgbench's tables, scale %d", s.o.load.Scale)
	if err := s.o.load.Init(ctx, s.c.MemberDSN(s.primary)); err != nil {
		return nil, err
	}
	for i := range s.o.n {
		var p pair
		sides := []func() error{
			func() (err error) { p.herd, err = s.run(ctx, "pgherd", s.toHerd); return err },
			func() (err error) { p.plain, err = s.run(ctx, "plain", s.toPlain); return err },
		}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		for _, run := range sides {
			if err := run(); err != nil {
				return pairs, err
			}
		}
		pairs = append(pairs, p)
		say("pair %d of %d: %.0f and %.0f tps, ratio %.3f", i+1, s.o.n, p.herd.TPS, p.plain.TPS, p.ratio())
	}
	return pairs, nil
}

func (s *side) run(ctx context.Context, what string, to func(context.Context) error) (pgbench.Result, error) {
	if err := to(ctx); err != nil {
		return pgbench.Result{}, fmt.Errorf("%s: %w", what, err)
	}
	dsn := s.c.MemberDSN(s.primary)
	if _, err := s.o.load.Run(ctx, dsn, max(time.Second, s.o.warmUp)); err != nil {
		return pgbench.Result{}, err
	}
	if _, err := s.sql(ctx, s.primary, "CHECKPOINT"); err != nil {
		return pgbench.Result{}, err
	}
	r, err := s.o.load.Run(ctx, dsn, s.o.length)
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%s: %d transactions failed", what, r.Failed)
	}
	return r, err
}

const switchLimit = 60 * time.Second

// toHerd starts pgherd on the servers, and waits until commits wait for standbys.
func (s *side) toHerd(ctx context.Context) error {
	if s.plain == nil && s.primary != "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, switchLimit, errors.New("the cluster was not well in "+switchLimit.String()))
	defer cancel()
	if err := s.stopPlain(); err != nil {
		return err
	}
	for _, name := range s.c.Names() {
		if err := s.c.StartMember(name); err != nil {
			return err
		}
	}
	status, err := s.c.WaitHealthy(ctx, func(demo.Status) {})
	if err != nil {
		return err
	}
	s.primary, s.names = status.Primary(), ""
	return s.waitQuorum(ctx)
}

// toPlain kills pgherd and starts the servers as they are.
func (s *side) toPlain(ctx context.Context) error {
	if s.plain != nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, switchLimit, errors.New("the servers were not well in "+switchLimit.String()))
	defer cancel()
	order := slices.DeleteFunc(s.c.Names(), func(name string) bool { return name == s.primary })
	for _, name := range append(order, s.primary) { // nobody is left to elect another
		if _, err := s.c.KillMember(ctx, name); err != nil {
			return err
		}
	}
	s.plain = []*exec.Cmd{}
	for _, name := range s.c.Names() {
		if err := s.startPlain(name); err != nil {
			return err
		}
	}
	return s.waitQuorum(ctx)
}

// startPlain runs a server as its files say, by no other way than an administrator would.
func (s *side) startPlain(name string) error {
	data := filepath.Join(s.c.StateDir(name), "data")
	if err := s.unlock(name, data); err != nil {
		return err
	}
	log, err := os.OpenFile(s.plainLog(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.o.load.BinDir, "postgres"), "-D", data)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	if cmd.SysProcAttr, err = asOwner(data); err != nil {
		return err
	}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	s.plain = append(s.plain, cmd)
	return nil
}

// unlock: nothing of a killed server is left, but where init reaps late the PID in its lock files is a zombie's,
// and PostgreSQL takes it for another postmaster.
func (s *side) unlock(name, data string) error {
	sockets, err := filepath.Glob(filepath.Join(s.c.StateDir(name), "run", ".s.PGSQL.*"))
	for _, path := range append(sockets, filepath.Join(data, "postmaster.pid")) {
		if rm := os.Remove(path); !errors.Is(rm, os.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

func (s *side) plainLog(name string) string { return filepath.Join(s.c.StateDir(name), "plain.log") }

// stopPlain stops what startPlain started.
func (s *side) stopPlain() (err error) {
	for _, cmd := range s.plain {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGINT))
	}
	for _, cmd := range s.plain {
		_ = cmd.Wait() // its exit code says no more than its log
	}
	s.plain = nil
	return err
}

// waitQuorum waits until both standbys are counted, by the very setting that was measured before.
func (s *side) waitQuorum(ctx context.Context) error {
	for {
		out, err := s.sql(ctx, s.primary, "SELECT current_setting('synchronous_standby_names') || '|' || count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('quorum', 'sync')")
		names, n, _ := strings.Cut(out, "|")
		if err == nil && names != "" && n == "2" {
			if s.names != "" && s.names != names {
				return fmt.Errorf("commits waited for %s, and now for %s", s.names, names)
			}
			s.names = names
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(s.plainLog(s.primary))
			return fmt.Errorf("%w: %s %w\n%s", context.Cause(ctx), out, err, log)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// sql runs as the administrator, over the unix socket.
func (s *side) sql(ctx context.Context, name, query string) (string, error) {
	status, err := s.port(name)
	if err != nil {
		return "", err
	}
	dir := s.c.StateDir(name)
	cmd := exec.CommandContext(ctx, filepath.Join(s.o.load.BinDir, "psql"), "-XqAt", "-h", filepath.Join(dir, "run"), "-p", status, "-U", "postgres", "-d", "postgres", "-c", query)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	if cmd.SysProcAttr, err = asOwner(filepath.Join(dir, "data")); err != nil {
		return "", err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("psql: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), err
}

// port is in the member's connection string.
func (s *side) port(name string) (string, error) {
	_, rest, _ := strings.Cut(s.c.MemberDSN(name), "127.0.0.1:")
	port, _, ok := strings.Cut(rest, "/")
	if !ok {
		return "", fmt.Errorf("no port in %s", s.c.MemberDSN(name))
	}
	return port, nil
}

// asOwner runs a command as the user who owns the data: PostgreSQL refuses root.
func asOwner(dir string) (*syscall.SysProcAttr, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}, nil
}
