package agent

import (
	"testing"

	"github.com/pgherd/pgherd/internal/store/embed"
)

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
