package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/postgres"
)

// server is one PostgreSQL that runs by itself, with an administrator's session that stays open.
type server struct {
	name  string
	dir   string
	keys  pki.Dir
	in    postgres.Instance
	cmd   *exec.Cmd
	ended chan struct{} // closed when the postmaster has ended
	admin *pgx.Conn
}

const lookEvery = 20 * time.Millisecond // where no client waits for the answer

// start runs it with the arguments that pgherd gives, and returns when the session is open.
func (s *server) start(ctx context.Context) error {
	if err := s.unlock(); err != nil {
		return err
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	path, args, env := postgres.StartArgs(s.in)
	s.cmd = exec.Command(path, args...)
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = env, log, log, "/"
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's Ctrl-C is for this program, which stops the others in order
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ended, cmd := make(chan struct{}), s.cmd
	s.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
	return s.connect(ctx)
}

func (s *server) connect(ctx context.Context) (err error) {
	return await(ctx, lookEvery, func() (bool, error) {
		s.admin, err = pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", s.in.SocketDir, s.in.Port))
		if err == nil {
			return true, nil
		}
		select {
		case <-s.ended:
			log, _ := os.ReadFile(s.logFile())
			return false, fmt.Errorf("%s ended as it started: %w\n%s", s, err, log)
		default:
			return false, nil
		}
	})
}

// unlock: nothing of a killed server is left, but where init reaps late the PID in its lock files is a
// zombie's, and PostgreSQL takes it for another postmaster.
func (s *server) unlock() error {
	locks, err := filepath.Glob(filepath.Join(s.in.SocketDir, ".s.PGSQL.*"))
	for _, path := range append(locks, filepath.Join(s.in.DataDir, "postmaster.pid")) {
		if rm := os.Remove(path); !errors.Is(rm, os.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

func (s *server) logFile() string { return filepath.Join(s.dir, "byhand.log") }

// signal is for the postmaster.
func (s *server) signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// stop ends it in order; when ctx ends before, at once.
func (s *server) stop(ctx context.Context) error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	err := s.signal(syscall.SIGINT)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("%s did not stop", s), s.signal(syscall.SIGQUIT))
		<-s.ended
	}
	return err
}

func (s *server) exec(ctx context.Context, sql string, args ...any) error {
	_, err := s.admin.Exec(ctx, sql, args...)
	return s.wrap(err)
}

// is asks a question whose answer is yes or no.
func (s *server) is(ctx context.Context, sql string, args ...any) (yes bool, err error) {
	return yes, s.wrap(s.admin.QueryRow(ctx, sql, args...).Scan(&yes))
}

func (s *server) wrap(err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// set is ALTER SYSTEM, which outranks what pgherd rendered.
func (s *server) set(ctx context.Context, values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		sql := "ALTER SYSTEM SET " + name + " = '" + strings.ReplaceAll(values[name], "'", "''") + "'"
		if err := s.exec(ctx, sql); err != nil {
			return err
		}
	}
	return s.exec(ctx, "SELECT pg_reload_conf()")
}
