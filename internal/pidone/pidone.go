package pidone

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// restartPause is that of the systemd unit: within the lease's trust, so that the agent's crash costs nothing.
const restartPause = 500 * time.Millisecond

// passed are the signals that the agent knows: its end, with PostgreSQL or without, and a terminal's.
var passed = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2, syscall.SIGHUP}

// Run starts a program, argv[0] with arguments, and gives the exit code for the container when that has ended for good.
func Run(argv []string, stderr io.Writer) int {
	signals, children := make(chan os.Signal, 16), make(chan os.Signal, 1)
	signal.Notify(signals, passed...)
	signal.Notify(children, syscall.SIGCHLD)
	s := &supervisor{argv: argv, stderr: stderr}
	if err := s.start(); err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return 1
	}
	var again <-chan time.Time // when the agent is to be started anew
	for {
		select {
		case got := <-signals:
			if again != nil && got != syscall.SIGUSR2 {
				return 128 + int(got.(syscall.Signal)) // there is no agent to ask: PostgreSQL ends with this process
			}
			s.pass(got.(syscall.Signal))
		case <-children:
			status, ended := s.reap()
			switch {
			case ended && s.comesBack(status):
				again = time.After(restartPause)
			case ended:
				return code(status)
			}
		case <-again:
			again = nil
			if err := s.start(); err != nil {
				fmt.Fprintln(stderr, "error:", err)
				return 1
			}
		}
	}
}

type supervisor struct {
	argv     []string
	stderr   io.Writer
	pid      int
	stopping bool // it was asked to end for good
	leaving  bool // it was asked to make room for another
}

// start forks without os/exec, whose Wait would find its child reaped by reap.
func (s *supervisor) start() error {
	s.leaving = false
	pid, err := syscall.ForkExec(s.argv[0], s.argv, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.argv[0], err)
	}
	s.pid = pid
	return nil
}

func (s *supervisor) pass(sig syscall.Signal) {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT:
		s.stopping = true
	case syscall.SIGUSR2:
		s.leaving = true
	}
	if s.pid != 0 { // a zombie of ours at least: nobody else has the number before reap
		_ = syscall.Kill(s.pid, sig)
	}
}

// reap collects all that has ended, and says whether the agent is among it.
func (s *supervisor) reap() (agent syscall.WaitStatus, ended bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || pid <= 0:
			return agent, ended
		case pid == s.pid && (status.Exited() || status.Signaled()):
			agent, ended, s.pid = status, true, 0
		}
	}
}

// comesBack: one that was killed, or that made room, is started anew. One that gave up has said why, and whoever runs
// the container decides.
func (s *supervisor) comesBack(status syscall.WaitStatus) bool {
	if s.stopping || !status.Signaled() && !s.leaving {
		return false
	}
	how := "it makes room"
	if status.Signaled() {
		how = status.Signal().String()
	}
	fmt.Fprintf(s.stderr, "warning: the agent has ended (%s) and is started anew\n", how)
	return true
}

// code is what a shell would say.
func code(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
