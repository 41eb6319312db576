package metrics

import (
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/snapshot"
)

// BenchmarkScrape is what one scrape costs, all in all.
func BenchmarkScrape(b *testing.B) {
	s := primary()
	h := New("main", "n1", func() snapshot.Snapshot { return s }, slog.New(slog.DiscardHandler)).Handler()
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		b.ReportMetric(float64(w.Body.Len()), "bytes")
	}
}

// BenchmarkTick is what the loop pays for being measured.
func BenchmarkTick(b *testing.B) {
	m := New("main", "n1", func() snapshot.Snapshot { return primary() }, slog.New(slog.DiscardHandler))
	memory, view := core.Memory{}, primary().View
	b.ReportAllocs()
	for b.Loop() {
		m.Decided(time.Millisecond)
		m.Ticked(time.Millisecond)
		m.Stepped(core.StepPutLease, time.Millisecond, nil)
		m.See(&memory, &view)
	}
}
