//go:build lab

package load

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pgherd/pgherd/lab/history"
)

// heldMax is the patience of clients behind an endpoint: longer than anything may hold them.
const heldMax = 60 * time.Second

// EndpointWorker is the name of the writer behind a member's endpoint.
func EndpointWorker(name string) string { return "endpoint-" + name }

func (l *Load) endpoint(e Member) *client {
	cfg := l.cfg
	cfg.User = cmp.Or(cfg.Clerk, cfg.User)
	cfg.app = "lab-endpoint"
	connect := func(ctx context.Context) (*conn, error) { return cfg.connect(ctx, e) }
	return &client{l: l, name: EndpointWorker(e.Name), routed: true, connect: connect, waits: heldMax}
}

func (c Config) grant() string {
	if c.Clerk == "" {
		return ""
	}
	return "; GRANT ALL ON lab_rows, lab_registers TO " + c.Clerk
}

// WaitEndpoints waits until the writer behind each endpoint had n more answers.
func (l *Load) WaitEndpoints(limit time.Duration, n int) {
	l.t.Helper()
	goal := map[string]int{}
	for _, e := range l.cfg.Endpoints {
		name := EndpointWorker(e.Name)
		goal[name] = l.answers(name) + n
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		waiting := ""
		for name, want := range goal {
			if l.answers(name) < want {
				waiting = name
			}
		}
		if waiting == "" {
			return
		}
		if time.Since(began) > limit {
			l.t.Fatalf("load: %s writes no more: not %d statements in %v", waiting, n, limit)
		}
	}
}

func (l *Load) answers(worker string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[worker]
}

// Failed are the statements of the clients behind endpoints that did not do what was asked, up to an
// instant: what is cut off when the clients stop is nobody's fault.
func Failed(h history.History, until time.Duration) (list []string) {
	for _, o := range behind(h) {
		if o.Outcome != history.Acked && o.Text != lostRace && o.Done < until {
			list = append(list, fmt.Sprintf("%s: %s sent at %v, %s at %v: %s", o.Worker, o.Kind, o.Sent.Round(time.Millisecond), o.Outcome, o.Done.Round(time.Millisecond), o.Text))
		}
	}
	return list
}

// Gaps is the longest time, for each endpoint's writer, without an acknowledgement.
func Gaps(h history.History) map[string]time.Duration {
	last, gaps := map[string]time.Duration{}, map[string]time.Duration{}
	for _, o := range behind(h) {
		if o.Outcome != history.Acked {
			continue
		}
		if at, known := last[o.Worker]; known {
			gaps[o.Worker] = max(gaps[o.Worker], o.Done-at)
		}
		last[o.Worker] = o.Done
	}
	return gaps
}

// behind are the operations of the writers behind endpoints, as they were answered.
func behind(h history.History) (list []history.Op) {
	for _, o := range h.Ops {
		if strings.HasPrefix(o.Worker, EndpointWorker("")) {
			list = append(list, o)
		}
	}
	return list
}
