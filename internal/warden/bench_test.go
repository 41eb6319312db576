package warden

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkKilledPostmaster measures kill -9 of the postmaster until the client is told that
// the instance is empty. Run with -benchtime 10x.
func BenchmarkKilledPostmaster(b *testing.B) {
	for _, backends := range []int{0, 30} {
		b.Run(fmt.Sprintf("backends=%d", backends), func(b *testing.B) {
			i := newInstance(b)
			c := i.running()
			var worst, sum time.Duration
			for range b.N {
				for range backends {
					conn := i.connect()
					_, err := conn.Exec(ctx(b), "SELECT count(*) FROM pg_class a, pg_class b")
					must(b, err)
				}
				at := BootNow()
				must(b, syscall.Kill(c.Status().PostmasterPID, syscall.SIGKILL))
				awaitStatus(b, c, "emptiness", empty)
				took := BootNow().Sub(at)
				sum, worst = sum+took, max(worst, took)
				must(b, c.Start(ctx(b), i.command()))
				i.connect()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(sum.Microseconds())/1000/float64(b.N), "ms-mean")
			b.ReportMetric(float64(worst.Microseconds())/1000, "ms-max")
		})
	}
}

// BenchmarkWardenMemory reports the warden's memory with postgres running.
func BenchmarkWardenMemory(b *testing.B) {
	i := newInstance(b)
	c := i.running()
	for n := range 1000 {
		must(b, c.Disarm(ctx(b), uint64(n+1)))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.wardenPID))
	must(b, err)
	for line := range strings.Lines(string(status)) {
		var kB float64
		for _, name := range []string{"VmRSS", "RssAnon"} {
			if n, _ := fmt.Sscanf(line, name+": %f kB", &kB); n == 1 {
				b.ReportMetric(kB/1024, name+"-MB")
			}
		}
	}
}
