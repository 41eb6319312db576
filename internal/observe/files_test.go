package observe

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

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
