package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store/embed"
)

// A vote that is missing for long is a condition; while a member joins it is not.
func TestMissingVotesAreTold(t *testing.T) {
	members := []core.MemberRecord{{Name: "n1"}, {Name: "n2"}, {Name: "n3"}}
	at := core.Instant(time.Hour)
	v := &voter{}
	if got := v.conditions(at, members); len(got) > 0 {
		t.Errorf("nobody was asked yet: %v", got)
	}
	v.votes, v.known = []string{"n1", "n2"}, true
	for _, after := range []time.Duration{0, votesGrace} {
		if got := v.conditions(at.Add(after), members); len(got) > 0 {
			t.Errorf("after %s: %v", after, got)
		}
	}
	got := v.conditions(at.Add(votesGrace+time.Second), members)
	if len(got) != 1 || got[0].Code != core.CondVotesMissing || got[0].Since != at || !strings.HasPrefix(got[0].Text, "n3: ") {
		t.Errorf("%+v", got)
	}
	v.votes = []string{"n1", "n2", "n3"}
	if got := v.conditions(at.Add(time.Hour), members); len(got) > 0 || v.lacking != 0 {
		t.Errorf("all vote: %v", got)
	}
	if got := (*voter)(nil).conditions(at, members); got != nil {
		t.Errorf("an external store: %v", got)
	}
}

// A link that was cut six seconds after the third voter had joined found the primary without that one's address: it lost the
// store, which it could have reached (lab: bridge-node).
func TestVotersAreLookedForUntilAllVote(t *testing.T) {
	voter, learner := embed.Member{Started: true}, embed.Member{Started: true, Learner: true}
	for _, c := range []struct {
		all     []embed.Member
		members int
		want    bool
	}{
		{[]embed.Member{voter}, 1, false},
		{[]embed.Member{voter, voter}, 3, true},
		{[]embed.Member{voter, voter, learner}, 3, true},
		{[]embed.Member{voter, voter, {}}, 3, true},
		{[]embed.Member{voter, voter, voter}, 3, false},
		{[]embed.Member{voter, voter, voter, voter, voter}, 9, false}, // five vote at most
	} {
		if got := settling(c.all, c.members); got != c.want {
			t.Errorf("%d of %d: %v, want %v", len(c.all), c.members, got, c.want)
		}
	}
}
