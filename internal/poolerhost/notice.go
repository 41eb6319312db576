package poolerhost

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/api"
)

// noticeEvery is how often the same is said again: whoever looks must find it, and it must not be all that is found.
const noticeEvery = time.Minute

// teller says in the log when the cluster does not take this host for one of its own. That is no removal: a store that was
// rebuilt from old records may not know the host, and to end its clients' connections for that would make one fault two. So the
// endpoints stay as they are, as when nobody answers, and what an administrator has to do is said until it is done.
// (Logins that need a role looked up may fail meanwhile: PostgreSQL lets in the hosts of the records.)
type teller struct {
	log      *slog.Logger
	stateDir string
	now      func() time.Time

	mu   sync.Mutex
	what string // is wrong; empty: nothing
	at   time.Time
}

// read takes note of what came of a reading of the cluster's state.
func (t *teller) read(err error) {
	what, hint := t.strange(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil && t.what != "":
		t.what = ""
		t.log.Info("the cluster knows this host again")
	case what == "" || what == t.what && t.now().Sub(t.at) < noticeEvery: // a silence between does not end it
	default:
		t.what, t.at = what, t.now()
		t.log.Error(what+": the endpoints stay as they are", "error", err, "hint", hint)
	}
}

// strange tells what no waiting mends from silence.
func (t *teller) strange(err error) (what, hint string) {
	var p *api.Problem
	var other x509.UnknownAuthorityError
	switch {
	case errors.Is(err, ErrUnknown) && errors.As(err, &p):
		return "the cluster does not know this host", p.Hint
	case errors.As(err, &other):
		return "the members are of another cluster than this host", fmt.Sprintf("if theirs was set up anew, this host has to join it: stop pgherd-pooler, move %s away, and run `pgherd pooler join` with a new token", t.stateDir)
	}
	return "", ""
}
