package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
)

// Options are the command's flags.
type Options struct {
	Dir    string // "": a new temporary directory
	Nodes  int    // 0: 3
	Port   int    // the first port; PostgreSQL's ports come first. 0: free ones
	NoTour bool
	Keep   bool   // leave the directory, for a second start
	BinDir string // PostgreSQL's programs; "": the newest found
	Exe    string // the pgherd binary; "": this one
}

// Exit codes, as every pgherd command has them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitRefused = 3
)

// Run is the command: a cluster, the tour, then the live view until it is told to stop.
// The answer is on stdout, errors are on stderr.
func Run(ctx context.Context, o Options, stdout, stderr io.Writer) int {
	stop := catchSignals(ctx)
	defer stop.release()
	d := &show{o: o, stop: stop, out: &lines{w: stdout, broken: stop.stop}, err: stderr, terminal: isTerminal(stdout)}
	if err := d.run(); err != nil {
		if errors.Is(err, errStopped) {
			fmt.Fprintln(stderr, "error: stopped before the end")
		} else {
			printError(stderr, err)
		}
		return codeOf(err)
	}
	return exitDone
}

// errStopped: the person pressed Ctrl-C, or the machine shuts down.
var errStopped = errors.New("stopped")

// stops are the two things that a signal means: the first one stops the cluster in
// order, a second one kills it.
type stops struct {
	soft, hard context.Context
	stop       func() // as the first signal does
	release    func()
}

// catchSignals also swallows SIGPIPE: `pgherd demo | head` would otherwise end the demo at once and leave its
// members behind. (Every connection that a killed server leaves raises it too, so it
// is no reason to stop; that stdout is closed, is.)
func catchSignals(parent context.Context) stops {
	soft, cancelSoft := context.WithCancelCause(parent)
	hard, cancelHard := context.WithCancel(context.WithoutCancel(parent))
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(make(chan os.Signal), syscall.SIGPIPE)
	end := make(chan struct{})
	go func() {
		for _, cancel := range []func(){func() { cancelSoft(errStopped) }, cancelHard} {
			select {
			case <-got:
				cancel()
			case <-end:
				return
			}
		}
	}()
	return stops{soft, hard, func() { cancelSoft(errStopped) }, func() { signal.Stop(got); close(end); cancelSoft(nil); cancelHard() }}
}

// show is one run of the command.
type show struct {
	o        Options
	stop     stops
	out      *lines
	err      io.Writer
	terminal bool
	c        *Cluster
}

func (d *show) run() (err error) {
	cfg, err := d.config()
	if err != nil {
		return err
	}
	if d.c, err = Open(d.stop.soft, cfg); err != nil {
		return err
	}
	d.hello()
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.c.Start(d.stop.soft); err != nil {
		return err
	}
	d.connections()
	if !d.o.NoTour {
		if err := d.c.Tour(d.stop.soft, d.out.say); err != nil {
			return err
		}
		if !d.terminal {
			return nil
		}
	}
	d.live()
	return nil
}

func (d *show) config() (Config, error) {
	exe := d.o.Exe
	if exe == "" {
		var err error
		if exe, err = os.Executable(); err != nil {
			return Config{}, err
		}
	}
	exe, err := filepath.Abs(exe)
	nodes := d.o.Nodes
	if nodes == 0 {
		nodes = 3
	}
	return Config{Dir: d.o.Dir, Nodes: nodes, Port: d.o.Port, BinDir: d.o.BinDir, Exe: exe, Say: d.out.say}, err
}

func (d *show) hello() {
	what := "A new cluster"
	if d.c.continued {
		what = "The kept cluster"
	}
	d.out.say("%s of %s in %s, PostgreSQL %s", what, plural(len(d.c.members), "member"), d.c.dir, d.c.version)
	if d.o.Keep {
		d.out.say("The directory is kept; continue with: pgherd demo --dir %s --keep", d.c.dir)
	} else {
		d.out.say("The directory is removed at the end (--keep keeps it).")
	}
}

func (d *show) connections() {
	d.out.say("")
	d.out.say("For writing:  psql '%s'", d.c.WriteDSN())
	d.out.say("For reading:  psql '%s'", d.c.ReadDSN())
}

// end stops everything, whatever happened before.
func (d *show) end() error {
	d.out.say("")
	d.out.say("Stopping the members.")
	err := d.c.Stop(d.stop.hard)
	d.c.Close()
	if d.o.Keep {
		d.out.say("Stopped; the data is kept in %s.", d.c.dir)
		return err
	}
	removed := d.c.Remove()
	switch {
	case errors.Is(removed, errOthersLeft):
		d.out.say("Stopped; %s stays: what else is in it is not the demo's.", d.c.dir)
		return err
	case err == nil && removed == nil:
		d.out.say("Stopped; %s is removed.", d.c.dir)
	}
	return errors.Join(err, removed)
}

// lines writes whole lines from any goroutine.
type lines struct {
	mu     sync.Mutex
	w      io.Writer
	count  int    // said since the live view was drawn last
	broken func() // nobody reads any more
}

func (l *lines) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if _, err := fmt.Fprintf(l.w, format+"\n", args...); err != nil {
		l.broken()
	}
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
