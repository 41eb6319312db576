package pooler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startTimeout = 10 * time.Second
	portWait     = time.Second          // for one of ours that was killed and is not quite gone
	lookPause    = 2 * time.Millisecond // between looks at something that comes soon
)

// start makes a process that survives its owner: a session of its own, nothing of ours open. It
// returns when the console answers. The caller found that none answers now.
func (p *PgBouncer) start(ctx context.Context) (err error) {
	bin, version, err := Find(p.cfg.Bin)
	if err != nil {
		return err
	}
	if err := p.clear(ctx); err != nil {
		return err
	}
	if err := p.portFree(ctx); err != nil {
		return err
	}
	log, err := os.OpenFile(p.cfg.path(startFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("pooler: %w", err)
	}
	defer log.Close()
	// The pid file and the log get PgBouncer's own umask; ours is the whole program's.
	cmd := exec.Command("/bin/sh", "-c", `umask 077 && exec "$@"`, "sh", bin, "-q", p.cfg.path(iniFile))
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", environment(), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("PgBouncer does not start: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }() // no zombie while we live; after us it is init's
	p.moreFiles(cmd.Process.Pid)
	p.log.Info("PgBouncer started", "pid", cmd.Process.Pid, "version", version.String(), "listen", p.cfg.Listen)
	return p.awaitStart(ctx, exited)
}

func (p *PgBouncer) awaitStart(ctx context.Context, exited <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := dial(ctx, p.cfg.socket())
		if err == nil {
			c.Close()
			return nil
		}
		if !errors.Is(err, ErrNotRunning) {
			return err
		}
		select {
		case <-time.After(lookPause):
		case err := <-exited:
			return fmt.Errorf("PgBouncer ended as it started (%v): %s", err, p.cfg.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("PgBouncer does not answer after its start: %w: %s", context.Cause(ctx), p.cfg.lastWords())
		}
	}
}

// moreFiles raises the limit of open files to what the settings may need: two for each client, and
// servers. As far as the system permits: PgBouncer itself says when it is short.
func (p *PgBouncer) moreFiles(pid int) {
	want := uint64(2*p.cfg.Settings.orDefaults().MaxClients + 1000)
	var limit unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit) != nil || limit.Cur >= want {
		return
	}
	limit.Cur = min(want, limit.Max)
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil || limit.Cur < want {
		p.log.Warn("PgBouncer may have too few open files", "limit", limit.Cur, "wanted", want)
	}
}

// portFree gives a clear error: PgBouncer itself only logs a port that it cannot have, and runs on
// without.
func (p *PgBouncer) portFree(ctx context.Context) error {
	address := p.cfg.Listen
	if p.cfg.host() == "*" {
		address = ":" + p.cfg.port()
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	for end := time.Now().Add(portWait); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(lookPause)
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("another program listens on %s: %w", p.cfg.Listen, ErrPortInUse)
	}
	if err != nil {
		return fmt.Errorf("pooler: %w", err)
	}
	return l.Close()
}

// clear removes what a process left that is no more; and ends one of ours that nobody can reach,
// because somebody removed its socket, or that has another port than is now wanted.
func (p *PgBouncer) clear(ctx context.Context) error {
	data, _ := os.ReadFile(p.cfg.path(pidFile))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && p.ours(pid) {
		p.log.Warn("a PgBouncer that cannot be reached is ended", "pid", pid)
		if err := end(ctx, pid); err != nil {
			return err
		}
	}
	sockets, _ := filepath.Glob(p.cfg.path(".s.PGSQL.*"))
	for _, path := range append(sockets, p.cfg.path(pidFile)) {
		if err := removeIfThere(path); err != nil {
			return err
		}
	}
	return nil
}

// ours tells whether a process is a PgBouncer of this directory: a number alone may be anybody's by
// now. (Its program may be ld.so, or have been replaced; its arguments are what we gave it.)
func (p *PgBouncer) ours(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && slices.ContainsFunc(bytes.Split(data, []byte{0}), func(arg []byte) bool { return string(arg) == p.cfg.path(iniFile) })
}

// end kills a process and waits until it is gone.
func end(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("PgBouncer (process %d): %w", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("PgBouncer (process %d): %w", pid, err)
	}
	return awaitEnd(ctx, fd)
}

// awaitEnd waits for the process of a pidfd, which becomes readable at its end.
func awaitEnd(ctx context.Context, fd int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("PgBouncer's end: %w", err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("PgBouncer's end: %w", context.Cause(ctx))
		}
	}
}
