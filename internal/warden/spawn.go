package warden

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/pgherd/pgherd/internal/privilege"
)

// spawner forks postmasters, always from one thread that never ends: Pdeathsig is sent
// when the *thread* that forked ends, and Go ends threads as it likes.
type spawner struct {
	stateDir, dataDir string
	commands          chan spawn
}

type spawn struct {
	command Command
	cgroup  *cgroup
	done    func(pid int, err error) // called from the spawner's thread
}

func newSpawner(stateDir, dataDir string) *spawner {
	s := &spawner{stateDir, dataDir, make(chan spawn, 1)}
	go func() {
		runtime.LockOSThread()
		confined := privilege.ConfineThread() // what this thread has not, postgres does not get
		for c := range s.commands {
			if confined != nil {
				c.done(0, confined)
				continue
			}
			c.done(s.fork(c))
		}
	}()
	return s
}

// fork may take long (a program on a hung disk). The postmaster begins in the data
// directory, so that leftovers finds it from its first instruction.
func (s *spawner) fork(c spawn) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	log := openLog(s.stateDir, "postgres.log")
	if log == nil {
		log = null
	}
	defer log.Close()
	removeStaleLocks(s.dataDir)
	attr := &syscall.ProcAttr{
		Dir:   s.dataDir,
		Env:   postmasterEnv(c.command.Env),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	argv := append([]string{c.command.Path}, c.command.Args...)
	pid, err = syscall.ForkExec(c.command.Path, argv, attr)
	if err == nil {
		c.cgroup.add(pid)
	}
	return pid, err
}

// openLog gives nil when the file cannot be had: postgres without a log is better than
// no postgres.
func openLog(stateDir, name string) *os.File {
	f, err := os.OpenFile(filepath.Join(stateDir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil
	}
	return f
}

// postmasterEnv lets backends, which inherit the warden's protection from the OOM
// killer, give it up again: they are what should be killed first.
func postmasterEnv(env []string) []string {
	if env == nil {
		env = os.Environ()
	}
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	if !strings.HasPrefix(string(score), "-") {
		return env
	}
	return append(env[:len(env):len(env)], "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj", "PG_OOM_ADJUST_VALUE=0")
}
