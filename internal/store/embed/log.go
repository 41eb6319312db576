package embed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/grpclog"
)

func init() {
	// gRPC writes its own errors to stderr. They reach us as errors of calls.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
}

// repeatAfter is how often the same message is logged: with a member down, etcd
// says so several times a second.
const repeatAfter = time.Minute

// known are messages that etcd logs in the normal course of what we do, and
// that would only worry a reader.
var known = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true, // for large clusters
	"simple token is not cryptographically signed":                                         true, // etcd's own users are not used
	"Failed to detect schema version":                                                      true, // until the first commit, see backendEvery
	"failed to update storage version":                                                     true, // the same; it is tried again
	"rejecting promote learner: learner is not ready":                                      true, // ErrNotReady says it
	"Validation on configuration change failed":                                            true, // ErrBusy says it
}

// slogCore sends zap entries of Warn and above to slog.
type slogCore struct {
	logger *slog.Logger
	recent *recent
}

// recent remembers when which message was logged last.
type recent struct {
	mu     sync.Mutex
	logged map[string]time.Time
	closed bool // what etcd says while it is being stopped is of no interest
}

func (r *recent) worthLogging(message string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || known[message] || now.Sub(r.logged[message]) < repeatAfter {
		return false
	}
	r.logged[message] = now
	return true
}

func (r *recent) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

func (c slogCore) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{logger: c.logger.With(attrs(fields)...), recent: c.recent}
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level > zapcore.WarnLevel {
		level = slog.LevelError
	}
	if e.Level > zapcore.ErrorLevel || c.recent.worthLogging(e.Message, e.Time) {
		c.logger.Log(context.Background(), level, "etcd: "+e.Message, attrs(fields)...)
	}
	return nil
}

func (c slogCore) Sync() error { return nil }

func attrs(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	list := make([]any, 0, len(enc.Fields))
	for _, key := range slices.Sorted(maps.Keys(enc.Fields)) {
		list = append(list, slog.Any(key, enc.Fields[key]))
	}
	return list
}

// lastWords is where etcd would end the process: a Fatal or Panic entry. The
// agent outlives it, because its PostgreSQL can go on with the other members'
// servers; only the goroutine that met the fault ends, so nothing that it did
// not finish (an fsync, say) is ever acknowledged.
type lastWords struct {
	report func(error)
}

func (w lastWords) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	err := errors.New(ce.Message)
	if cause, ok := enc.Fields["error"]; ok {
		err = fmt.Errorf("%s: %v", ce.Message, cause)
	}
	w.report(err)
	runtime.Goexit()
}

func newLogger(core slogCore, fatal func(error)) *zap.Logger {
	hook := lastWords{report: fatal}
	return zap.New(core, zap.WithFatalHook(hook), zap.WithPanicHook(hook), zap.ErrorOutput(zapcore.AddSync(io.Discard)))
}
