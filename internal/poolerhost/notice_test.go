package poolerhost

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestNotices: what an administrator has to mend is said with its hint, again after a while, and its end.
func TestNotices(t *testing.T) {
	var text bytes.Buffer
	now := time.Now()
	h := teller{log: slog.New(slog.NewTextHandler(&text, nil)), stateDir: "/state", now: func() time.Time { return now }}
	says := func(what string, err error, want ...string) {
		t.Helper()
		text.Reset()
		h.read(err)
		for _, one := range want {
			if !strings.Contains(text.String(), one) {
				t.Errorf("%s: no %q in %q", what, one, text.String())
			}
		}
		if len(want) == 0 && text.Len() > 0 {
			t.Errorf("%s: %s", what, text.String())
		}
	}
	f, stranger := newFixture(t), newFixture(t)
	m, _ := f.member("n1", 1)
	state := func(of *fixture) error {
		_, err := of.source(m).State(context.Background())
		return err
	}
	unknown := state(f)
	says("silence", errors.New("nobody answers"))
	says("unknown", unknown, "the cluster does not know this host: the endpoints stay as they are", "pgherd pooler admit app1 --address ADDRESS", "older than its join")
	says("at once", unknown)
	says("silence between", errors.New("nobody answers"))
	says("at once after silence", unknown)
	now = now.Add(noticeEvery)
	says("later", unknown, "does not know")
	f.register()
	says("known", state(f), "knows this host again")
	says("known still", state(f))
	says("another CA", state(stranger), "of another cluster", "move /state away", "pgherd pooler join")
}
