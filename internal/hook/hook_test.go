package hook

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bench is a directory with real scripts, and a runner of it.
type bench struct {
	t      *testing.T
	dir    string
	out    string // what scripts write to
	runner *Runner
	log    strings.Builder
}

func newBench(t *testing.T) *bench {
	t.Helper()
	top, err := os.MkdirTemp("/tmp", "hook-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	b := &bench{t: t, dir: filepath.Join(top, "hooks"), out: filepath.Join(top, "out")}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.runner = Open(b.dir, slog.New(slog.NewTextHandler(&b.log, nil)))
	return b
}

// script writes an executable; OUT in it is the bench's file.
func (b *bench) script(name, text string) {
	b.t.Helper()
	text = "#!/bin/sh\n" + strings.ReplaceAll(text, "OUT", b.out) + "\n"
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wrote() string {
	text, _ := os.ReadFile(b.out)
	return strings.TrimSpace(string(text))
}

func (b *bench) wait(what string, so func() bool) {
	b.t.Helper()
	for began := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			b.t.Fatalf("not seen: %s; the scripts wrote %q", what, b.wrote())
		}
	}
}

// run starts the runner; stop ends it and waits for that.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = b.runner.Keep(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return stop
}

func gone(pid string) bool {
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

var primary = Event{Name: "primary", Cluster: "main", Member: "n1", Term: 7}

func TestCalledInOrderWithArgumentsOnly(t *testing.T) {
	b := newBench(t)
	t.Setenv("PGPASSWORD", "secret")
	b.script("20-second", `echo "second $1" >>OUT`)
	b.script("10-first", `echo "first $# $*" >>OUT; env | cut -d= -f1 | sort | tr '\n' ' ' >>OUT; pwd >>OUT; echo hello`)
	if err := os.WriteFile(filepath.Join(b.dir, "README"), []byte("not executable"), 0o644); err != nil {
		t.Fatal(err)
	}
	stop := b.run()
	b.runner.Tell(primary)
	b.wait("the second script", func() bool { return strings.Contains(b.wrote(), "second") })
	stop()
	// PWD and the like are the shell's own.
	if got := b.wrote(); !strings.HasPrefix(got, "first 4 primary main n1 7\n") || !strings.HasSuffix(got, "/\nsecond primary") || strings.Contains(got, "PGPASSWORD") || strings.Contains(got, "HOME") {
		t.Errorf("the scripts wrote\n%s", got)
	}
	if b.runner.Problem() != "" || !strings.Contains(b.log.String(), "output=hello") {
		t.Errorf("problem %q, log\n%s", b.runner.Problem(), b.log.String())
	}
}

func TestDeadlineKillsTheGroup(t *testing.T) {
	b := newBench(t)
	b.runner.Deadline = 300 * time.Millisecond
	b.script("10-hangs", `sleep 100 & echo $! >OUT; echo begun; sleep 100`)
	b.script("20-next", `echo next >OUT.2`)
	stop := b.run()
	b.runner.Tell(primary)
	b.wait("the next script", func() bool { _, err := os.Stat(b.out + ".2"); return err == nil })
	stop()
	b.wait("the end of the script's child", func() bool { return gone(b.wrote()) })
	if p := b.runner.Problem(); !strings.Contains(p, "10-hangs primary: it had not ended after 300ms and was killed") || strings.Contains(p, "20-next") {
		t.Errorf("problem %q", p)
	}
	if !strings.Contains(b.log.String(), "output=begun") {
		t.Errorf("what it had printed is not in the log:\n%s", b.log.String())
	}
}

// TestWhatIsLeftOfAGroup: a child in the background neither outlives its script nor holds
// anybody up by the pipe that it has.
func TestWhatIsLeftOfAGroup(t *testing.T) {
	b := newBench(t)
	b.script("10-leaves", `sleep 100 & echo $! >OUT`)
	b.script("20-escapes", `setsid sleep 2 & exit 0`)
	stop := b.run()
	began := time.Now()
	b.runner.Tell(primary)
	b.wait("the first script", func() bool { return b.wrote() != "" })
	stop()
	if took := time.Since(began); took > 1900*time.Millisecond {
		t.Errorf("held up for %v", took)
	}
	b.wait("the end of the script's child", func() bool { return gone(b.wrote()) })
}

func TestFailureIsToldUntilItSucceeds(t *testing.T) {
	b := newBench(t)
	changed := make(chan struct{}, 10)
	b.runner.Changed = func() { changed <- struct{}{} }
	b.script("10-fails", `test -e OUT || { echo no such thing >&2; exit 3; }`)
	b.run()
	b.runner.Tell(primary)
	<-changed
	if p := b.runner.Problem(); p != "10-fails primary: exit status 3" {
		t.Errorf("problem %q", p)
	}
	if err := os.WriteFile(b.out, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.runner.Tell(primary)
	<-changed
	if p := b.runner.Problem(); p != "" {
		t.Errorf("problem %q", p)
	}
}

func TestOutputIsBounded(t *testing.T) {
	b := newBench(t)
	b.script("10-talks", `head -c 1000000 /dev/zero | tr '\0' x; printf '\377\n'; echo ended >OUT`)
	stop := b.run()
	b.runner.Tell(primary)
	b.wait("its end", func() bool { return b.wrote() == "ended" })
	stop()
	if n := len(b.log.String()); n > 10_000 || !strings.Contains(b.log.String(), "bytes more]") {
		t.Errorf("%d bytes of log", n)
	}
}

// TestTheNewestEventWins: events that pile up are told by the last one, and the rest of the
// programs does not hear of the old role any more.
func TestTheNewestEventWins(t *testing.T) {
	b := newBench(t)
	fifo := b.out + ".fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	b.script("10-slow", `echo "$1 $4" >>OUT; test $4 != 1 || read line <OUT.fifo`)
	b.script("20-after", `echo "after $1 $4" >>OUT`)
	b.run()
	b.runner.Tell(Event{Name: "primary", Term: 1})
	b.wait("the first event", func() bool { return b.wrote() == "primary 1" })
	began := time.Now()
	b.runner.Tell(Event{Name: "fenced", Term: 1})
	b.runner.Tell(Event{Name: "standby", Term: 2})
	if took := time.Since(began); took > time.Second {
		t.Errorf("Tell held its caller up for %v", took)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	b.wait("the last event", func() bool { return strings.Contains(b.wrote(), "after standby 2") })
	if got := b.wrote(); got != "primary 1\nstandby 2\nafter standby 2" {
		t.Errorf("called:\n%s", got)
	}
}

// TestUnsafePlacesAreRefused: nothing in them is run.
func TestUnsafePlacesAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(b *bench) error{
		"can be written by others (mode 0777)": func(b *bench) error { return os.Chmod(b.dir, 0o777) },
		"can be written by others (mode 0775)": func(b *bench) error { return os.Chmod(filepath.Join(b.dir, "10-script"), 0o775) },
		"belongs to user":                      func(b *bench) error { return os.Chown(b.dir, 12345, 12345) },
		"10-script belongs to user":            func(b *bench) error { return os.Chown(filepath.Join(b.dir, "10-script"), 12345, 12345) },
		"can be written by others (mode 0757)": func(b *bench) error { return os.Chmod(filepath.Dir(b.dir), 0o757) },
		"is a symbolic link":                   func(b *bench) error { return os.Symlink("/bin/true", filepath.Join(b.dir, "15-link")) },
		"is not a directory": func(b *bench) error {
			if err := os.Rename(b.dir, b.dir+".real"); err != nil {
				return err
			}
			return os.Symlink(b.dir+".real", b.dir)
		},
		"no such file": func(b *bench) error { return os.RemoveAll(b.dir) },
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "belongs") && os.Getuid() != 0 {
				t.Skip("only root can give a file away")
			}
			b := newBench(t)
			b.script("10-script", "echo called >OUT")
			if err := spoil(b); err != nil {
				t.Fatal(err)
			}
			changed := make(chan struct{}, 10)
			b.runner.Changed = func() { changed <- struct{}{} }
			stop := b.run()
			b.wait("the condition", func() bool { return b.runner.Problem() != "" }) // before any event
			b.runner.Tell(primary)
			stop()
			if p := b.runner.Problem(); !strings.Contains(p, name) || b.wrote() != "" {
				t.Errorf("problem %q, the script wrote %q", p, b.wrote())
			}
		})
	}
}
