package embed

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func testLogger(fatal func(error)) (*zap.Logger, *recent, *bytes.Buffer) {
	var out bytes.Buffer
	seen := &recent{logged: map[string]time.Time{}}
	core := slogCore{logger: slog.New(slog.NewTextHandler(&out, nil)), recent: seen}
	return newLogger(core, fatal), seen, &out
}

func TestLogGoesToSlog(t *testing.T) {
	lg, seen, out := testLogger(nil)
	lg.Info("not shown")
	lg.With(zap.String("with", "w")).Warn("shown", zap.Error(errors.New("why")))
	lg.Warn("shown") // again within a minute
	lg.Error("simple token is not cryptographically signed")
	lg.Error("bad")
	seen.close()
	lg.Error("after close")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `level=WARN msg="etcd: shown" with=w error=why`) ||
		!strings.Contains(lines[1], `level=ERROR msg="etcd: bad"`) {
		t.Fatalf("logged %q", lines)
	}
}

func TestRepeatedMessageIsLoggedAgainLater(t *testing.T) {
	r := &recent{logged: map[string]time.Time{}}
	now := time.Now()
	for after, want := range []bool{true, false} {
		if got := r.worthLogging("m", now.Add(time.Duration(after)*time.Second)); got != want {
			t.Errorf("after %d s: %v", after, got)
		}
	}
	if !r.worthLogging("m", now.Add(repeatAfter)) {
		t.Error("never again")
	}
}

func TestFatalEndsOnlyTheGoroutine(t *testing.T) {
	for name, say := range map[string]func(*zap.Logger){
		"fatal": func(lg *zap.Logger) { lg.Fatal("disk failed", zap.Error(errors.New("EIO"))) },
		"panic": func(lg *zap.Logger) { lg.Panic("disk failed", zap.Error(errors.New("EIO"))) },
	} {
		var reported error
		lg, _, out := testLogger(func(err error) { reported = err })
		ended, wentOn := make(chan struct{}), false
		go func() {
			defer close(ended)
			say(lg)
			wentOn = true
		}()
		<-ended
		if wentOn || reported == nil || reported.Error() != "disk failed: EIO" {
			t.Errorf("%s: went on %v, reported %v", name, wentOn, reported)
		}
		if !strings.Contains(out.String(), "disk failed") {
			t.Errorf("%s: not logged", name)
		}
	}
}
