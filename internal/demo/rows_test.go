package demo

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestLedgerFindsWhatIsWrong(t *testing.T) {
	l := newLedger()
	for seq, o := range []outcome{outcomeAcked, outcomeAcked, outcomeUnknown, outcomeUnknown, outcomeFailed} {
		l.note(row{1, int64(seq)}, o)
	}
	right := map[row]int{{1, 0}: 1, {1, 1}: 1, {1, 2}: 1} // one unknown row is there, one is not
	cases := []struct {
		name string
		edit func(map[row]int)
		want string
	}{
		{"right", func(map[row]int) {}, "n1 has 3: 0 missing, 0 twice"},
		{"lost", func(f map[row]int) { delete(f, row{1, 1}) }, "n1 has 2: 1 missing, 0 twice (first: writer 1, row 1)"},
		{"twice", func(f map[row]int) { f[row{1, 0}] = 2 }, "n1 has 4: 0 missing, 1 twice (first: writer 1, row 0)"},
		{"unknown twice", func(f map[row]int) { f[row{1, 2}] = 2 }, "n1 has 4: 0 missing, 1 twice (first: writer 1, row 2)"},
		{"refused", func(f map[row]int) { f[row{1, 4}] = 1 }, "n1 has 4: 0 missing, 0 twice, 1 that were refused (first: writer 1, row 4)"},
		{"from nowhere", func(f map[row]int) { f[row{9, 9}] = 1 }, "n1 has 4: 0 missing, 0 twice, 1 that were refused (first: writer 9, row 9)"},
	}
	for _, c := range cases {
		found := map[row]int{}
		for r, n := range right {
			found[r] = n
		}
		c.edit(found)
		v := l.check("n1", found)
		if v.String() != c.want {
			t.Errorf("%s: %q, want %q", c.name, v, c.want)
		}
		if v.OK() != (c.name == "right") {
			t.Errorf("%s: OK() is %v", c.name, v.OK())
		}
	}
}

func TestClassify(t *testing.T) {
	pg := func(severity, code string) error {
		return &pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: severity, Code: code}
	}
	cases := []struct {
		err     error
		warning string
		want    outcome
	}{
		{nil, "", outcomeAcked},
		{nil, "canceling wait for synchronous replication due to user request", outcomeUnknown},
		{pg("ERROR", "25006"), "", outcomeFailed},
		{pg("FATAL", "57P01"), "", outcomeUnknown}, // terminated, perhaps while it waited for a standby: committed here
		{pg("PANIC", "XX000"), "", outcomeUnknown},
		{errors.New("unexpected EOF"), "", outcomeUnknown},
	}
	for _, c := range cases {
		if got := classify(c.err, c.warning); got != c.want {
			t.Errorf("classify(%v, %q) = %d, want %d", c.err, strings.TrimSpace(c.warning), got, c.want)
		}
	}
}
