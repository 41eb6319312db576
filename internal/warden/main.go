package warden

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errLocked: another warden has the state directory.
var errLocked = errors.New("another warden holds the lock")

// Exit codes of the warden's process.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitLocked = 3
)

type options struct {
	stateDir, dataDir string
	readyFD           int
}

// Main is the warden's process: `pgherd warden --state-dir DIR --data-dir DIR`, args without
// the command's name. It returns the exit code: 0 quit, 1 failed, 2 wrong usage, 3
// another warden is running.
func Main(args []string) int {
	o, err := parseArgs(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return exitUsage
	}
	becomeSmall()
	out := newAsyncWriter(os.Stderr)
	log := slog.New(slog.NewTextHandler(out, nil)).With("pid", os.Getpid())
	defer out.flush(time.Second)

	err = serve(o, log)
	if err == nil {
		return exitDone
	}
	log.Error("the warden ends", "error", err)
	tellParent(o.readyFD, err)
	if errors.Is(err, errLocked) {
		return exitLocked
	}
	return exitFailed
}

func parseArgs(args []string) (o options, err error) {
	f := flag.NewFlagSet("warden", flag.ContinueOnError)
	f.StringVar(&o.stateDir, "state-dir", "", "directory of the lock, the socket and the logs")
	f.StringVar(&o.dataDir, "data-dir", "", "PostgreSQL's data directory")
	f.IntVar(&o.readyFD, "ready-fd", -1, "file descriptor that is told when the warden is ready")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if !filepath.IsAbs(o.stateDir) || !filepath.IsAbs(o.dataDir) {
		return o, errors.New("--state-dir and --data-dir need absolute paths")
	}
	o.dataDir = filepath.Clean(o.dataDir)
	return o, nil
}

func serve(o options, log *slog.Logger) error {
	lock, err := takeLock(o.stateDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := becomeReaper(log); err != nil {
		return err
	}
	if err := killLeftovers(o.dataDir, log); err != nil {
		return err
	}
	w, err := newWarden(o.stateDir, o.dataDir, log)
	if err != nil {
		return err
	}
	l, err := listen(o.stateDir)
	if err != nil {
		return fmt.Errorf("socket in %s: %w", o.stateDir, err)
	}
	go keepLogsSmall(o.stateDir)
	go w.serve(l)
	tellParent(o.readyFD, nil)
	log.Info("ready", "data_dir", o.dataDir, "version", Version)
	debug.FreeOSMemory()
	w.run()
	w.letGo(time.Second)
	w.vip.wait(time.Second)
	w.cgroup.remove()
	w.closePeers(time.Second)
	_ = os.Remove(filepath.Join(o.stateDir, "warden.sock"))
	log.Info("quit")
	return nil
}

// takeLock holds STATE_DIR/warden.lock for the life of the process. The file is never
// removed: removing a lock file lets two processes hold "the" lock.
func takeLock(stateDir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(stateDir, "warden.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), errLocked)
	}
	return f, nil
}

// becomeSmall: the binary is the agent's, the work is not.
func becomeSmall() {
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(20)
	debug.SetMemoryLimit(24 << 20)
	syscall.Umask(0o077)
	forgetText()
}

// forgetText unmaps the pages of the program's text that the agent's packages touched while
// they initialised; what the warden runs is mapped again from the page cache as it
// is used. Text is never written, so nothing can be lost.
func forgetText() {
	exe, _ := os.Readlink("/proc/self/exe")
	_, _ = findLine("/proc/self/maps", func(line string) (string, bool) {
		var from, to uintptr
		var perms string
		n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms)
		if n == 3 && perms == "r-xp" && strings.HasSuffix(line, exe) {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
		return "", false
	})
}

// becomeReaper makes the process the heir of every orphan below it and hard to kill by
// accident.
func becomeReaper(log *slog.Logger) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming child subreaper: %w", err)
	}
	_, _ = syscall.Setsid() // fails when Ensure has done it
	_ = os.Chdir("/")
	_ = os.WriteFile("/proc/self/comm", []byte(commName), 0)
	lowerOOMScore(os.Getpid(), "-950")
	// What the fence needs must not have to be read from a disk that hangs. Without
	// MCL_FUTURE: under a limit that would make Go's own mmap fail.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_ONFAULT); err != nil {
		log.Debug("memory is not locked", "error", err)
	}
	return nil
}

// lowerOOMScore is a wish: it needs CAP_SYS_RESOURCE.
func lowerOOMScore(pid int, score string) {
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(score), 0)
}

// guardedFor is how long a warden that is dying may still be seen above its processes.
const guardedFor = time.Second

// killLeftovers is the fence for the case that the last warden was killed: its postmaster died
// with it, its busy backends did not. It returns only when none is left. What a living
// warden guards is no leftover: then two members were given one data directory.
func killLeftovers(dataDir string, log *slog.Logger) error {
	found := leftovers(dataDir)
	for began := BootNow(); ; found = leftovers(dataDir) {
		p, guard := guarded(found)
		if guard == 0 {
			break
		}
		if BootNow().Sub(began) > guardedFor {
			return fmt.Errorf("%s is in use: process %d of another warden (%d) works there", dataDir, p, guard)
		}
		time.Sleep(sweepPauseMax)
	}
	if c, err := openCgroup(dataDir); err == nil {
		if err := c.kill(); err != nil {
			log.Warn("cgroup.kill of leftovers failed", "error", err)
		}
		defer c.remove()
	}
	pause := sweepPauseMin
	for i := 0; len(found) > 0; i++ {
		if i%100 == 0 {
			log.Warn("killing leftovers of an earlier warden", "processes", len(found), "first", found[0].pid)
		}
		for _, p := range found {
			_ = p.signal(syscall.SIGSTOP) // nobody is to hear of another's end: see killAll
		}
		for _, p := range found {
			_ = p.kill()
		}
		time.Sleep(pause)
		pause = min(2*pause, sweepPauseMax)
		found = leftovers(dataDir)
	}
	return nil
}

// tellParent says "ready", "locked" or the error to whoever spawned us, once.
func tellParent(fd int, err error) {
	if fd < 0 {
		return
	}
	text := "ready"
	switch {
	case errors.Is(err, errLocked):
		text = "locked"
	case err != nil:
		text = err.Error()
	}
	f := os.NewFile(uintptr(fd), "ready")
	_, _ = f.WriteString(text)
	_ = f.Close()
}
