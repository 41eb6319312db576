package demo

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// killTimeout: SIGKILL takes effect in milliseconds unless a process hangs in the kernel.
const killTimeout = 10 * time.Second

// KillPostmaster kills one member's postmaster with SIGKILL and tells its PID.
func (c *Cluster) KillPostmaster(name string) (pid int, err error) {
	return c.killOne(name, kindPostmaster)
}

// KillAgent kills one member's agent; StartMember starts it again.
func (c *Cluster) KillAgent(name string) (pid int, err error) {
	m, err := c.member(name)
	if err != nil {
		return 0, err
	}
	m.unwant()
	return c.killOne(name, kindAgent)
}

func (c *Cluster) killOne(name, kind string) (int, error) {
	for _, p := range c.processes() {
		if p.member == name && p.kind == kind {
			return p.pid, syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	return 0, fmt.Errorf("%s has no %s", name, kind)
}

// KillMember is a power cut: all processes of one member are killed at once and the
// call returns when none is left. StartMember is the power's return.
func (c *Cluster) KillMember(ctx context.Context, name string) (killed int, err error) {
	m, err := c.member(name)
	if err != nil {
		return 0, err
	}
	m.unwant()
	killed = c.kill(name)
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if !poll(ctx, processEvery, func() bool { return c.kill(name) == 0 }) {
		return killed, fmt.Errorf("processes of %s are still there", name)
	}
	return killed, nil
}

// kill kills what there is now of a member (of all: ""). Agent and warden go first, so that nobody
// sees the others die.
func (c *Cluster) kill(name string) int {
	found := c.processes()
	return send(found, syscall.SIGKILL, name, kindAgent, kindWarden) +
		send(found, syscall.SIGKILL, name, kindPostmaster, kindPostgres)
}

// StartMember starts a killed member's agent again.
func (c *Cluster) StartMember(name string) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	return m.start(c.exe, c.say)
}

// switchoverTimeout is longer than the command's own deadline.
const switchoverTimeout = 90 * time.Second

// Switchover runs `pgherd switchover` and gives the line that it answered.
func (c *Cluster) Switchover(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, switchoverTimeout)
	defer cancel()
	out, err := c.execute(ctx, "switchover", "--config", c.members[0].config)
	return strings.TrimSpace(string(out)), err
}
