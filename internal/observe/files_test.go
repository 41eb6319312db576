package observe

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/warden"
)

func TestMountPointIsThatOfTheNearestDirectory(t *testing.T) {
	// /proc is a file system of its own everywhere.
	if got := MountPoint("/proc/self/no/such/place"); got != "/proc" {
		t.Errorf("MountPoint = %q, want /proc", got)
	}
	if got := MountPoint("/"); got != "/" {
		t.Errorf("MountPoint = %q, want /", got)
	}
}

func TestMissingMountIsNotMissingData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if text := (MountCheck{DataDir: dir, Mount: dir}).Missing(); text == "" {
		t.Error("the volume is not mounted and nobody says so")
	}
	if text := (MountCheck{DataDir: dir, Mount: MountPoint(dir)}).Missing(); text != "" {
		t.Errorf("mounted, yet: %s", text)
	}
	if text := (MountCheck{DataDir: dir}).Missing(); text != "" {
		t.Errorf("nothing was recorded, yet: %s", text)
	}
}

func TestFlightSharesOneReadAndOutlivesItsCaller(t *testing.T) {
	var f flight
	release, reads := make(chan struct{}), 0
	first := f.start(func() { reads++; <-release })
	second := f.start(func() { t.Error("a second read began beside the first") })
	if within(t.Context(), second, 10*time.Millisecond) {
		t.Error("the read hangs, and waiting for it came to an end")
	}
	close(release)
	if !within(context.Background(), first, 5*time.Second) || reads != 1 {
		t.Errorf("reads = %d", reads)
	}
}

func TestExitTextTellsACrashFromACleanEnd(t *testing.T) {
	clean := wardenView(warden.Status{Alive: true, Empty: true, LastExit: &warden.Exit{Code: 0}})
	crash := wardenView(warden.Status{Alive: true, Empty: true, LastExit: &warden.Exit{Code: -1, Signal: "killed"}})
	fenced := wardenView(warden.Status{Alive: true, Empty: true, LastExit: &warden.Exit{Code: -1, Signal: "killed"}, Fenced: &warden.Fenced{Reason: "deadline"}})
	if clean.ExitText != "" || crash.ExitText == "" || !fenced.Fenced || fenced.ExitText == crash.ExitText {
		t.Errorf("clean %q, crash %q, fenced %q", clean.ExitText, crash.ExitText, fenced.ExitText)
	}
}

// A server that was stopped cleanly and is started again has not opened its socket yet: taken for
// one that stops, its lease was handed over while it came up as primary.
func TestStartingIsNotStopping(t *testing.T) {
	for name, c := range map[string]struct {
		answer   postgres.Answer
		control  string
		answered bool
		want     core.InstanceState
	}{
		"started a moment ago, after a clean stop": {postgres.AnswerRefused, "shut down", false, core.StateStarting},
		"at its end":                    {postgres.AnswerRefused, "shut down", true, core.StateStopping},
		"gone, but not by a clean stop": {postgres.AnswerRefused, "in production", true, core.StateStarting},
		"says that it shuts down":       {postgres.AnswerStopping, "in production", true, core.StateStopping},
		"says that it starts up":        {postgres.AnswerStarting, "shut down", true, core.StateStarting},
		"hangs":                         {postgres.AnswerHanging, "shut down", true, core.StateUnknown},
	} {
		if got := silentState(c.answer, c.control, c.answered); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A server that was told to stop lets nobody in: it is not asked any more. (There is no DB here: a question would be a panic.)
func TestWhoWasToldToStopIsNotAsked(t *testing.T) {
	dir := t.TempDir()
	s := &LocalSource{Instance: postgres.Instance{DataDir: dir}, Leaving: func() int { return 7 }, answered: 7}
	if i := s.instance(t.Context(), warden.Status{Alive: true, PostmasterPID: 7}); i.State != core.StateStopping || i.Primary {
		t.Errorf("%+v", i)
	}
}

// Only of the server that answered, was told to stop, and ended well is the end known without reading its WAL.
func TestEndAsTold(t *testing.T) {
	for name, c := range map[string]struct {
		exit              *warden.Exit
		answered, leaving int
		want              bool
	}{
		"as told":             {&warden.Exit{PID: 7}, 7, 7, true},
		"never ran":           {nil, 0, 0, false},
		"killed on the way":   {&warden.Exit{PID: 7, Signal: "killed"}, 7, 7, false},
		"failed on the way":   {&warden.Exit{PID: 7, Code: 1}, 7, 7, false},
		"never answered":      {&warden.Exit{PID: 7}, 6, 7, false},
		"by somebody else":    {&warden.Exit{PID: 7}, 7, 6, false},
		"not the one that is": {&warden.Exit{PID: 8}, 7, 7, false},
	} {
		s := &LocalSource{Leaving: func() int { return c.leaving }, answered: c.answered}
		if got := s.asTold(c.exit); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
