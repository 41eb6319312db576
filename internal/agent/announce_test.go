package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/pgherd/pgherd/internal/journal"
)

// TestAnnouncedOncePerTerm: when this process saw it happen, and while it is so.
func TestAnnouncedOncePerTerm(t *testing.T) {
	tick := func(term uint64, primary bool) journal.Entry {
		v := at(started)
		v.Store.Lease.Term = term
		v.Local.Instance.Primary = primary
		return journal.Entry{View: v}
	}
	other := tick(3, true)
	other.View.Store.Lease.Holder = "n2"
	released := tick(3, true)
	released.View.Store.Lease.Released = true
	for name, c := range map[string]struct {
		ticks []journal.Entry
		want  int
	}{
		"becomes primary":             {[]journal.Entry{tick(3, false), tick(3, true), tick(3, true)}, 1},
		"was primary at the start":    {[]journal.Entry{tick(3, true), tick(3, true)}, 0},
		"again in a new term":         {[]journal.Entry{tick(3, true), tick(4, false), tick(5, true)}, 1},
		"restarted in the same term":  {[]journal.Entry{tick(3, true), tick(3, false), tick(3, true)}, 0},
		"holds no lease":              {[]journal.Entry{tick(3, false), other}, 0},
		"released it":                 {[]journal.Entry{tick(3, false), released}, 0},
		"an old reply after a change": {[]journal.Entry{tick(3, false), tick(3, true), tick(2, true)}, 1},
	} {
		n := &announcer{news: make(chan uint64, 10)}
		for _, e := range c.ticks {
			n.see(e)
		}
		if got := len(n.news); got != c.want {
			t.Errorf("%s: told %d times, want %d", name, got, c.want)
		}
	}
}

func TestAnnouncement(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sent := make(chan string, 10)
	var leading atomic.Uint64
	asked := make(chan bool, 10)
	n := &announcer{
		self: announcement{"primary", "n1", "10.0.0.1", 5432, 0}, log: slog.New(slog.DiscardHandler), news: make(chan uint64, 1),
		leading: func() uint64 {
			defer func() { asked <- true }()
			return leading.Load()
		},
		send: func(_ context.Context, channel, payload string) error {
			sent <- channel + " " + payload
			return errors.New("a database is away")
		},
	}
	ended := make(chan error)
	go func() { ended <- n.keep(ctx) }()
	n.news <- 3 // it leads no more
	<-asked
	leading.Store(4)
	n.news <- 4
	if got, want := <-sent, `pgherd {"event":"primary","member":"n1","address":"10.0.0.1","port":5432,"term":4}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
