package warden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options say which warden is wanted.
type Options struct {
	Exe      string // the pgherd binary, to be run as `Exe warden ...`; absolute
	StateDir string // exists, writable by the warden's user; absolute
	DataDir  string // need not exist yet; absolute
	Logger   *slog.Logger

	// Credential is the user that a new warden, and so postgres, runs as. nil: our own.
	Credential *syscall.Credential

	// AmbientCaps are capabilities that a new warden gets, and nothing that it starts.
	AmbientCaps []uintptr
}

const (
	greetingTimeout = 5 * time.Second
	ensurePause     = 10 * time.Millisecond
)

// Ensure connects to the live warden of StateDir or spawns one and connects. A
// new warden first kills what an earlier one left of the instance; ctx bounds how long to wait for
// that (the warden goes on in any case).
func Ensure(ctx context.Context, o Options) (*Client, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.DataDir = filepath.Clean(o.DataDir)
	for {
		c, err := connect(ctx, o)
		if !nobodyListens(err) {
			return c, err
		}
		err = spawnWarden(ctx, o)
		if errors.Is(err, errLocked) { // one is starting or ending: look again
			err = pause(ctx, ensurePause)
		}
		if err != nil {
			return nil, fmt.Errorf("starting the warden: %w (its log: %s)", err, filepath.Join(o.StateDir, "warden.log"))
		}
	}
}

func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("another warden holds the lock but does not listen: %w", ctx.Err())
	case <-time.After(d):
		return nil
	}
}

func connect(ctx context.Context, o Options) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	if _, err := os.Stat(o.StateDir); err != nil {
		return nil, fmt.Errorf("state directory: %s", err) // not os.ErrNotExist: spawning would not help
	}
	var conn net.Conn
	err := withSocketPath(o.StateDir, func(path string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newClient(ctx, conn, o.DataDir)
}

// spawnWarden starts a warden of its own session that holds nothing of ours, and waits
// for its first word.
func spawnWarden(ctx context.Context, o Options) error {
	heard, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer heard.Close()
	cmd := exec.Command(o.Exe, "warden", "--state-dir", o.StateDir, "--data-dir", o.DataDir, "--ready-fd", "3")
	cmd.Dir, cmd.Env = "/", wardenEnv(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: o.Credential, AmbientCaps: o.AmbientCaps}
	cmd.ExtraFiles = []*os.File{tell}
	if log := openLog(o.StateDir, "warden.log"); log != nil {
		defer log.Close()
		if o.Credential != nil {
			_ = log.Chown(int(o.Credential.Uid), int(o.Credential.Gid))
		}
		cmd.Stdout, cmd.Stderr = log, log
	}
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return err
	}
	lowerOOMScore(cmd.Process.Pid, "-950") // we may be permitted where the warden is not
	o.Logger.Info("warden spawned", "pid", cmd.Process.Pid)
	go func() { _ = cmd.Wait() }() // no zombie while we live; after us it is init's
	return firstWord(ctx, heard)
}

func firstWord(ctx context.Context, from *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := io.ReadAll(io.LimitReader(from, 4096))
	word := strings.TrimSpace(string(b))
	switch {
	case word == "ready":
		return nil
	case word == "locked":
		return errLocked
	case word != "":
		return errors.New(word)
	case ctx.Err() != nil:
		return fmt.Errorf("not ready yet: %w", ctx.Err())
	case err != nil:
		return err
	}
	return errors.New("it ended without a word")
}

// wardenEnv leaves out what systemd meant for the agent alone: Debian's postgres would
// report READY and STOPPING on the agent's behalf.
func wardenEnv(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		for _, prefix := range []string{"NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "MAINPID="} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
}
