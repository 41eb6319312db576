package history

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func insert(member string, timeline uint32, id int64, sent, done time.Duration) Op {
	return Op{Worker: "w", Kind: Insert, Routed: true, Member: member, Timeline: timeline, LSN: uint64(id) * 100, ID: id, Sent: sent * ms, Done: done * ms, Outcome: Acked}
}

func set(member string, timeline uint32, old, new int64, sent, done time.Duration) Op {
	return Op{Worker: "s", Kind: Set, Routed: true, Member: member, Timeline: timeline, Key: 1, Old: old, New: new, Sent: sent * ms, Done: done * ms, Outcome: Acked}
}

func get(value int64, sent, done time.Duration) Op {
	return Op{Worker: "g", Kind: Get, Routed: true, Member: "a", Key: 1, Value: value, Sent: sent * ms, Done: done * ms, Outcome: Acked}
}

func look(sent, done time.Duration, seen ...int64) Op {
	return Op{Worker: "r", Kind: Look, Routed: true, Member: "a", Seen: seen, Sent: sent * ms, Done: done * ms, Outcome: Acked}
}

func with(o Op, outcome Outcome) Op { o.Outcome = outcome; return o }

// good is a failover from a to b with one write of unknown outcome: nothing is wrong with it.
func good() (History, map[string][]Row) {
	probe := Op{Worker: "p", Kind: Insert, Member: "b", ID: 90, Sent: 5 * ms, Done: 6 * ms, Outcome: Refused}
	h := History{Members: []string{"a", "b"}, End: 400 * ms, Marks: []Mark{{At: 50 * ms, Text: "kill"}}, Ops: []Op{
		insert("a", 1, 1, 0, 10), insert("a", 1, 2, 20, 30), set("a", 1, 0, 80, 10, 20),
		with(insert("a", 1, 3, 40, 60), Unknown), with(set("a", 1, 80, 81, 40, 60), Unknown),
		insert("b", 2, 4, 200, 210), insert("b", 2, 5, 220, 230), set("b", 2, 81, 82, 220, 240), get(82, 250, 260),
		look(15, 25, 1), look(300, 310, 5, 4, 3, 2, 1), probe,
	}}
	h.Ops = append(h.Ops, with(Op{Worker: "p", Kind: Insert, Member: "a", ID: 91, Sent: 300 * ms, Done: 301 * ms}, Refused))
	rows := []Row{{ID: 1}, {ID: 2}, {ID: 3}, {ID: 4}, {ID: 5}, {Key: 1, Value: 82}}
	return h, map[string][]Row{"a": slices.Clone(rows), "b": rows}
}

var goodBounds = Bounds{OutageMax: 180 * ms, ChangesMax: 1}

func TestGoodHistoryPasses(t *testing.T) {
	h, rows := good()
	r := Check(h, rows, goodBounds)
	if !r.OK() {
		t.Errorf("%q", r.Problems)
	}
	if r.Acked != 6 || r.Unknown != 2 || r.Refused != 2 || r.Lost != 0 || r.Overlaps != 0 || r.Changes != 1 || r.Outage != 180*ms || r.OutageAt != 30*ms {
		t.Errorf("%+v", r)
	}
}

// unseen removes all looks: what nobody saw may be there or not.
func unseen(h *History) {
	h.Ops = slices.DeleteFunc(h.Ops, func(o Op) bool { return o.Kind == Look })
}

// TestBadHistoriesFail: each fault is put into the good history, and each must be named.
func TestBadHistoriesFail(t *testing.T) {
	add := func(ops ...Op) func(*History, map[string][]Row) {
		return func(h *History, _ map[string][]Row) { h.Ops = append(h.Ops, ops...) }
	}
	row := func(member string, row Row) func(*History, map[string][]Row) {
		return func(_ *History, rows map[string][]Row) { rows[member] = append(rows[member], row) }
	}
	without := func(member string, id int64) func(*History, map[string][]Row) {
		return func(_ *History, rows map[string][]Row) {
			rows[member] = slices.DeleteFunc(rows[member], func(r Row) bool { return r.ID == id })
		}
	}
	for name, test := range map[string]struct {
		spoil func(*History, map[string][]Row)
		says  string
	}{
		"lost":                      {without("a", 2), "a lacks 1 acknowledged rows: [2]"},
		"duplicated":                {row("b", Row{ID: 4}), "b has 1 rows more than once: [4]"},
		"refused and there":         {row("b", Row{ID: 90}), "told that they were refused: [90]"},
		"nobody's":                  {row("b", Row{ID: 77}), "that nobody wrote: [77]"},
		"unknown on one only":       {func(h *History, rows map[string][]Row) { unseen(h); without("b", 3)(h, rows) }, "a and b differ in 1 rows: [{ID:3 Key:0 Value:0}]"},
		"register on one only":      {row("a", Row{Key: 2, Value: 70}), "a and b differ in 1 rows: [{ID:0 Key:2 Value:70}]"},
		"dirty read":                {without("b", 3), "1 rows that were read by clients do not exist"},
		"backwards after an ack":    {add(look(320, 330, 5, 3, 2, 1)), "does not show row 4"},
		"backwards after a look":    {add(look(320, 330, 5, 4, 2, 1)), "does not show row 3"},
		"old primary wrote after":   {add(insert("a", 1, 2, 200, 215)), "two primaries: a (timeline 1)"},
		"late acknowledgement":      {add(insert("a", 1, 2, 45, 211)), "two primaries"},
		"one timeline, two members": {add(insert("b", 1, 2, 12, 15)), "two primaries"},
		"register read backwards":   {add(get(80, 262, 270)), "register 1 is not linearizable"},
		"register swapped twice":    {add(set("b", 2, 80, 84, 262, 270)), "register 1 is not linearizable"},
		"register lost a swap":      {func(_ *History, rows map[string][]Row) { rows["b"][5].Value = 81 }, "register 1 is not linearizable"},
		"no outage permitted":       {func(h *History, _ map[string][]Row) { h.Ops[5].Done += ms }, "no write was acknowledged for 181ms from 30ms on (after kill)"},
		"never came back":           {func(h *History, _ map[string][]Row) { h.End += 100 * ms }, "no write was acknowledged for 260ms"},
		"flapping":                  {add(insert("a", 3, 2, 300, 310)), "leadership changed 2 times"},
		"not probed":                {func(h *History, _ map[string][]Row) { h.Members = append(h.Members, "c") }, "c was never probed"},
		"no writes":                 {func(h *History, _ map[string][]Row) { h.Ops = nil }, "no write was acknowledged"},
		"no rows read":              {func(_ *History, rows map[string][]Row) { clear(rows) }, "the rows of no member were read"},
	} {
		t.Run(name, func(t *testing.T) {
			h, rows := good()
			test.spoil(&h, rows)
			r := Check(h, rows, goodBounds)
			if !strings.Contains(strings.Join(r.Problems, "\n"), test.says) {
				t.Errorf("want %q in %q", test.says, r.Problems)
			}
		})
	}
}

// TestClientsAlone: what needs no rows is judged without them, as well.
func TestClientsAlone(t *testing.T) {
	h, _ := good()
	if r := CheckClients(h, goodBounds); !r.OK() {
		t.Errorf("%q", r.Problems)
	}
	h.Ops = append(h.Ops, insert("a", 1, 2, 200, 215), get(80, 262, 270))
	r := CheckClients(h, goodBounds)
	if said := strings.Join(r.Problems, "\n"); r.Overlaps != 1 || !strings.Contains(said, "two primaries") || !strings.Contains(said, "not linearizable") {
		t.Errorf("%+v", r)
	}
}

// TestUnknownMayBeEither: a write of unknown outcome may be there or not, on all members alike.
func TestUnknownMayBeEither(t *testing.T) {
	h, rows := good()
	h.Ops = slices.DeleteFunc(h.Ops, func(o Op) bool { return o.Key == 1 && o.Sent > 100*ms })
	for name, value := range map[string]int64{"taken": 81, "not taken": 80} {
		for _, member := range []string{"a", "b"} {
			rows[member][5].Value = value
		}
		if r := Check(h, rows, goodBounds); !r.OK() {
			t.Errorf("%s: %q", name, r.Problems)
		}
	}
	unseen(&h)
	for _, member := range []string{"a", "b"} {
		rows[member] = slices.Delete(rows[member], 2, 3)
	}
	if r := Check(h, rows, goodBounds); !r.OK() {
		t.Errorf("the unknown row is not there: %q", r.Problems)
	}
}

func TestAllowedLossIsMeasured(t *testing.T) {
	h, rows := good()
	for _, member := range []string{"a", "b"} {
		rows[member] = slices.DeleteFunc(rows[member], func(r Row) bool { return r.ID == 1 || r.ID == 2 })
	}
	bounds := goodBounds
	bounds.LossAllowed, bounds.LossBytesMax = "durability is async", 100
	if r := Check(h, rows, bounds); !r.OK() || r.Lost != 2 || r.LostBytes != 100 {
		t.Errorf("%+v", r)
	}
	bounds.LossBytesMax = 99
	if r := Check(h, rows, bounds); r.OK() {
		t.Error("more was lost than is allowed, and nothing is said")
	}
	bounds.LossBytesMax = 100
	rows["b"] = append(rows["b"], Row{ID: 2})
	if r := Check(h, rows, bounds); r.OK() {
		t.Error("an allowed loss on one member only, and nothing is said")
	}
}

func TestStaleReadsMayBeAllowed(t *testing.T) {
	h, rows := good()
	h.Ops = append(h.Ops, look(320, 330, 5, 4, 2, 1), get(80, 262, 270))
	bounds := goodBounds
	bounds.StaleReads = "the whole host was frozen"
	if r := Check(h, rows, bounds); !r.OK() {
		t.Errorf("%q", r.Problems)
	}
}

// TestLateAnswersMayBeAllowed: but never an acknowledgement of what was sent to an overtaken primary.
func TestLateAnswersMayBeAllowed(t *testing.T) {
	bounds := goodBounds
	bounds.LateAnswers = "the whole host was frozen"
	h, rows := good()
	h.Ops[1].Done = 300 * ms // sent at 20
	if r := Check(h, rows, bounds); r.Overlaps != 0 {
		t.Errorf("%q", r.Problems)
	}
	h.Ops = append(h.Ops, insert("a", 1, 2, 211, 230)) // sent after b's first at 210, answered before the late one
	if r := Check(h, rows, bounds); r.Overlaps != 1 {
		t.Errorf("a write that was sent to an overtaken primary and acknowledged is no overlap: %+v", r)
	}
}

func TestDirtyReadsMayBeAllowed(t *testing.T) {
	h, rows := good()
	for _, member := range []string{"a", "b"} {
		rows[member] = slices.Delete(rows[member], 2, 3)
	}
	if r := Check(h, rows, goodBounds); r.OK() || r.Dirty != 1 {
		t.Errorf("row 3 was read and is gone: %+v", r)
	}
	bounds := goodBounds
	bounds.DirtyReads = "clients cancelled their waits"
	if r := Check(h, rows, bounds); !r.OK() {
		t.Errorf("%q", r.Problems)
	}
}

// TestLookShowsOnlyTheNewest: what is older than all that a full look shows is not missing.
func TestLookShowsOnlyTheNewest(t *testing.T) {
	h, rows := good()
	var seen []int64
	for id := int64(100 + LookRows); id > 100; id-- {
		seen = append(seen, id)
		h.Ops = append(h.Ops, insert("b", 2, id, 300, 320))
		for _, member := range []string{"a", "b"} {
			rows[member] = append(rows[member], Row{ID: id})
		}
	}
	h.Ops = append(h.Ops, look(330, 340, seen...))
	if r := Check(h, rows, goodBounds); !r.OK() {
		t.Errorf("%q", r.Problems)
	}
	h.Ops = append(h.Ops, look(330, 340, append(slices.Delete(slices.Clone(seen), 3, 4), 5)...))
	if r := Check(h, rows, goodBounds); r.OK() {
		t.Errorf("row %d was not shown, and nothing is said", seen[3])
	}
}
