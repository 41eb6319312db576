package history

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func lease(kind LeaseKind, member string, term uint64, sent, done time.Duration) LeaseOp {
	return LeaseOp{member, term, kind, sent * ms, done * ms}
}

func goodLeases() []LeaseOp {
	return []LeaseOp{
		lease(Take, "a", 4, 0, 10), lease(Hold, "a", 4, 10, 10), lease(Hold, "a", 4, 100, 100), // expires
		lease(Take, "b", 5, 300, 320), lease(Hold, "b", 5, 310, 310), lease(Hold, "b", 5, 350, 350), lease(Release, "b", 5, 360, 370),
		lease(Take, "a", 6, 365, 380), lease(Hold, "a", 6, 380, 380),
	}
}

func TestGoodLeasesPass(t *testing.T) {
	if got := CheckLeases(goodLeases()); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestBadLeasesFail(t *testing.T) {
	for name, test := range map[string]struct {
		more LeaseOp
		says string
	}{
		"two holders":           {lease(Hold, "a", 4, 325, 325), "a trusted term 4 at 325ms, but b had taken term 5 by 320ms"},
		"trust after release":   {lease(Hold, "b", 5, 375, 375), "has no order"},
		"a term twice":          {lease(Take, "c", 5, 301, 321), "term 5 was taken by"},
		"a term left out":       {lease(Take, "b", 8, 400, 410), "terms do not grow by one"},
		"trust without a lease": {lease(Hold, "c", 6, 390, 390), "has no order"},
	} {
		t.Run(name, func(t *testing.T) {
			got := CheckLeases(append(slices.Clone(goodLeases()), test.more))
			if !strings.Contains(strings.Join(got, "\n"), test.says) {
				t.Errorf("want %q in %q", test.says, got)
			}
		})
	}
}
