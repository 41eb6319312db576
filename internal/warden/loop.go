package warden

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// warden is the process's state. Only the loop's goroutine touches it; others send
// functions through calls.
type warden struct {
	dataDir string
	log     *slog.Logger

	calls    chan func()
	children chan os.Signal // SIGCHLD, coalesced
	signals  chan os.Signal
	deadline *bootTimer
	retry    *time.Timer
	spawner  *spawner
	dog      watchdog
	vip      guardedVIP

	st         Status
	cgroup     *cgroup
	starting   bool // a fork is under way
	startDone  func(error)
	sweeping   bool // the instance is being killed
	sweepPause time.Duration
	emptyDone  []func(error)
	stopping   bool // SIGTERM
	quit       bool

	peers     map[*peer]struct{}
	published []byte
}

func newWarden(stateDir, dataDir string, log *slog.Logger) (*warden, error) {
	timer, err := newBootTimer()
	if err != nil {
		return nil, err
	}
	address := newGuardedVIP() // before the spawner's thread gives up what it asks for
	w := &warden{
		dataDir:  dataDir,
		log:      log,
		calls:    make(chan func()),
		children: make(chan os.Signal, 1),
		signals:  make(chan os.Signal, 8),
		deadline: timer,
		retry:    time.NewTimer(time.Hour),
		spawner:  newSpawner(stateDir, dataDir),
		dog:      newWatchdog(),
		vip:      address,
		st:       Status{WardenPID: os.Getpid(), Empty: true, EmptyAt: BootNow(), Version: Version},
		peers:    make(map[*peer]struct{}),
	}
	signal.Notify(w.children, syscall.SIGCHLD)
	// Caught and dropped, not ignored: what is ignored stays so across exec and postgres'
	// children would inherit it.
	signal.Notify(w.signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT,
		syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM)
	return w, nil
}

// run is the loop. Nothing in it waits for a disk, a client or a fork.
func (w *warden) run() {
	for !w.quit {
		select {
		case call := <-w.calls:
			w.checkDeadline()
			call()
		case <-w.deadline.C:
		case <-w.children:
			w.childEnded()
		case <-w.retry.C:
			w.tick()
		case err := <-w.vip.done:
			w.vipRemoved(err)
		case then := <-w.dog.done:
			w.ordered(then)
		case <-w.dog.timer.C:
		case sig := <-w.signals:
			if sig == syscall.SIGTERM {
				w.stop()
			}
		}
		w.checkDeadline()
		w.watch()
		w.publish()
		w.quit = w.quit || w.stopping && w.st.Empty
	}
}

// childEnded looks again soon while the instance is being killed: the orphans of
// what has just died are ours now.
func (w *warden) childEnded() {
	w.reap()
	if w.sweeping {
		w.sweepPause = sweepPauseMin
		w.retry.Reset(w.sweepPause)
	}
}

func (w *warden) tick() {
	if w.sweeping {
		w.sweep()
		return
	}
	w.reap()
	w.retry.Reset(time.Hour)
}

// stop is SIGTERM: never leave postgres without a warden, never cut it off in the middle.
func (w *warden) stop() {
	w.stopping = true
	w.log.Info("SIGTERM", "empty", w.st.Empty)
	if !w.st.Empty && w.st.PostmasterPID != 0 {
		_ = w.signal(syscall.SIGINT)
	}
}

// handle does one request. The answer follows the status that shows its effect.
func (w *warden) handle(p *peer, r request) {
	done := func(err error) {
		w.publish()
		p.send(reply{ID: r.ID, Error: encodeError(err)})
	}
	switch r.Op {
	case "start":
		w.start(r.Command, done)
	case "fence":
		w.fence(r.Reason, done)
	case "arm":
		done(w.arm(r))
	case "watchdog":
		done(w.setWatchdog(r.Watchdog))
	case "vip":
		done(w.guardVIP(r.VIP))
	case "disarm":
		done(w.disarm(r.Term))
	case "signal":
		done(w.signal(syscall.Signal(r.Signal)))
	case "quit":
		done(w.mayQuit())
	default:
		done(fmt.Errorf("%q: %w", r.Op, ErrUnsupported))
	}
}

func (w *warden) mayQuit() error {
	if !w.st.Empty {
		return ErrNotEmpty
	}
	w.quit = true
	return nil
}

func (w *warden) join(p *peer) {
	w.peers[p] = struct{}{}
	p.send(reply{Hello: &hello{Protocol: protocolVersion, DataDir: w.dataDir}})
	p.send(reply{Status: &w.st})
}

// publish sends the status to every client if it has changed.
func (w *warden) publish() {
	b, err := json.Marshal(w.st)
	if err != nil || bytes.Equal(b, w.published) {
		return
	}
	w.published = b
	for p := range w.peers {
		p.send(reply{Status: &w.st})
	}
}
