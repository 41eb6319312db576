package cli

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/api"
)

// TestAccessTranscript: tokens are made, listed while they are good, and taken back; what cannot be is refused, and
// makes none.
func TestAccessTranscript(t *testing.T) {
	var later atomic.Int64
	c := newCluster(t, func(b *api.Backend) { b.Now = func() time.Time { return now.Add(time.Duration(later.Load())) } })
	c.transcript("access-none", "access list")
	for _, command := range []string{"access create maria --role operator", "access create screen --lifetime 720h", "access create guest --role admin --lifetime 1m"} {
		if stdout, stderr, code := c.run(strings.Fields(command)...); code != 0 || strings.Count(stdout, "\n") != 1 || strings.Contains(stderr, strings.TrimSpace(stdout)) {
			t.Fatalf("%s: exit code %d, stdout holds %d lines, and is to hold the token alone", command, code, strings.Count(stdout, "\n"))
		}
	}
	maria, guest := c.accessID("maria"), c.accessID("guest")
	c.transcript("access-three", "access list")
	later.Store(int64(time.Hour)) // guest's has ended
	c.transcript("access",
		"access list", "access revoke "+maria, "access list", "access revoke "+maria, "access revoke "+guest, "access revoke", "access revoke none-such", "access list --json",
		"access create maria --role boss", "access create maria --role member", "access create Maria", "access create --role viewer", "access create maria --lifetime 9000h", "access create maria --lifetime soon", "access", "access list")
}

// accessID finds the one token of that name, and has transcripts show a text of the same length instead of it.
func (c *cluster) accessID(name string) string {
	c.t.Helper()
	var list []api.Access
	out, _, code := c.run("access", "list", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		c.t.Fatalf("%d %v %s", code, err, out)
	}
	found := ""
	for _, token := range list {
		c.shown = append(c.shown, token.ID, (strings.ToUpper(token.Name) + strings.Repeat(".", len(token.ID)))[:len(token.ID)])
		if token.Name == name {
			found = token.ID
		}
	}
	return found
}
