package demo

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// commandTimeout bounds pgherd's short commands; switchover has its own deadline.
const commandTimeout = 15 * time.Second

// commandError is a pgherd command that failed, with what it said.
type commandError struct {
	args       []string
	code       int
	said, hint string
}

func (e *commandError) Error() string {
	return fmt.Sprintf("pgherd %s: %s", strings.Join(e.args, " "), e.said)
}

func (e *commandError) Hint() string { return e.hint }

// pgherd runs one short command of the binary for a member, as a user would, and
// gives what it answered on stdout.
func (c *Cluster) pgherd(ctx context.Context, m *member, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return c.execute(ctx, append(args, "--config", m.config)...)
}

func (c *Cluster) execute(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.exe, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's Ctrl-C is not for it
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		return stdout.Bytes(), fmt.Errorf("pgherd %s: %w", args[0], ctx.Err())
	}
	e := &commandError{args: args, code: cmd.ProcessState.ExitCode(), said: err.Error()}
	for line := range strings.Lines(stderr.String()) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "error: "); ok {
			e.said = text
		} else if text, ok := strings.CutPrefix(line, "hint: "); ok {
			e.hint = text
		}
	}
	return stdout.Bytes(), e
}

// where are the flags that init and join share.
func (c *Cluster) where(m *member) []string {
	at := func(port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }
	args := []string{"--config", m.config, "--name", m.name, "--address", address,
		"--state-dir", m.stateDir(), "--pg-port", strconv.Itoa(m.ports.Postgres), "--pg-listen", address,
		"--listen-api", at(m.ports.API), "--listen-peer", at(m.ports.Peer), "--listen-store", at(m.ports.Store)}
	if m.ports.RW != 0 {
		args = append(args, "--listen-rw", at(m.ports.RW), "--listen-ro", at(m.ports.RO))
	} else {
		args = append(args, "--no-endpoints")
	}
	// The tour kills and freezes what a watchdog watches: this machine is not to be reset for it.
	return append(args, "--bin-dir", c.binDir, "--user", c.owner.name, "--watchdog", "off")
}

// initialise makes the cluster on its first member.
func (c *Cluster) initialise(ctx context.Context, m *member) error {
	_, err := c.execute(ctx, append([]string{"init", "--cluster", "demo"}, c.where(m)...)...)
	return err
}

// join gets a token from a member and joins another with it. The token goes by a file
// that only we can read, never by argv.
func (c *Cluster) join(ctx context.Context, from, m *member) error {
	out, err := c.pgherd(ctx, from, "token", "create")
	if err != nil {
		return err
	}
	file := filepath.Join(m.dir, "token")
	defer os.Remove(file)
	if err := replaceFile(file, out, 0o600); err != nil {
		return err
	}
	to := net.JoinHostPort(address, strconv.Itoa(from.ports.API))
	_, err = c.execute(ctx, append([]string{"join", to, "--token-file", file}, c.where(m)...)...)
	return err
}
