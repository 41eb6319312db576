package agent

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
)

// notifyChannel is what applications LISTEN on.
const notifyChannel = "pgherd"

const (
	// announceAfter: nobody can LISTEN on a standby, and sessions of the old primary are gone, so whoever
	// is to hear of the new one has to come first.
	announceAfter = 2 * time.Second
	announceLimit = 10 * time.Second
)

// announcement is the payload, in JSON.
type announcement struct {
	Event   string `json:"event"` // primary
	Member  string `json:"member"`
	Address string `json:"address"`
	Port    int    `json:"port"`
	Term    uint64 `json:"term"`
}

// announcer tells applications that listen, once for each term, that this member has become the primary. It is
// apart from the loop, which it holds up never; what it cannot tell is only logged.
type announcer struct {
	self    announcement
	send    func(ctx context.Context, channel, payload string) error
	leading func() uint64 // the term that this member is the primary of now; 0: of none
	log     *slog.Logger
	after   time.Duration

	seen uint64 // newest term that this member was seen to be the primary of
	any  bool   // a tick was seen
	news chan uint64
}

func newAnnouncer(a *Agent) *announcer {
	c := a.o.Config
	return &announcer{
		self: announcement{Event: "primary", Member: c.Name, Address: c.Address, Port: c.Postgres.Port},
		send: a.server.DB.Notify, leading: func() uint64 { return leads(a.latest()) }, log: a.o.Log,
		after: announceAfter, news: make(chan uint64, 1),
	}
}

// leads gives the term that this member is the primary of, 0 for none.
func leads(e journal.Entry) uint64 {
	lease := e.View.Store.Lease
	if e.View.Local.Instance.State == core.StateRunning && e.View.Local.Instance.Primary && lease.Holder == e.View.Self && !lease.Released {
		return lease.Term
	}
	return 0
}

// see takes a tick. A primary that was one before this process began was announced by the process of then, or is no news any more.
func (n *announcer) see(e journal.Entry) {
	term := leads(e)
	first := !n.any
	n.any = true
	if term <= n.seen {
		return
	}
	n.seen = term
	if first {
		return
	}
	select {
	case n.news <- term:
	default: // two terms within announceAfter: the first is history when it would be told
	}
}

// keep sends until ctx ends.
func (n *announcer) keep(ctx context.Context) error {
	told := uint64(0)
	for {
		select {
		case <-n.news:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(n.after):
		case <-ctx.Done():
			return nil
		}
		if term := n.leading(); term > told {
			told = term
			n.tell(ctx, term)
		}
	}
}

func (n *announcer) tell(ctx context.Context, term uint64) {
	ctx, cancel := context.WithTimeout(ctx, announceLimit)
	defer cancel()
	says := n.self
	says.Term = term
	payload, _ := json.Marshal(says)
	if err := n.send(ctx, notifyChannel, string(payload)); err != nil {
		n.log.Warn("not every database was told of the new primary", "term", term, "error", err)
	}
}
