package history

import (
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// registerSearch bounds porcupine's search for each register. It needs milliseconds; a history for
// which it is too short is reported, never passed.
const registerSearch = 20 * time.Second

// swap is an operation on one register as porcupine sees it.
type swap struct {
	set      bool
	old, new int64 // of a set
	value    int64 // of a get
}

// registerModel is a register that is only changed by compare-and-set. The outcome of each
// operation that takes part is known, so the model is deterministic.
var registerModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, _ any) (bool, any) {
		s, in := state.(int64), input.(swap)
		if in.set {
			return s == in.old, in.new
		}
		return s == in.value, s
	},
}

// checkRegisters: each register behaves as if there were one copy of it (N1, N3 and N4 at once).
func checkRegisters(h History, rowsOnMembers map[string][]Row, bounds Bounds, r *Report) {
	if bounds.LossAllowed != "" {
		return
	}
	final := finalValues(h, rowsOnMembers)
	keys := map[int]bool{}
	for _, o := range h.Ops {
		if o.Kind == Set || o.Kind == Get {
			keys[o.Key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		ops := registerOps(h, key, final[key], bounds.StaleReads != "")
		switch porcupine.CheckOperationsTimeout(registerModel, ops, registerSearch) {
		case porcupine.Illegal:
			r.problem("register %d is not linearizable: its %d operations have no order in which each saw the one before", key, len(ops))
		case porcupine.Unknown:
			r.problem("register %d could not be judged within %v", key, registerSearch)
		}
	}
}

// finalValues are reads of each register from each member after the end.
func finalValues(h History, rowsOnMembers map[string][]Row) map[int][]Op {
	final := map[int][]Op{}
	for member, rows := range rowsOnMembers {
		for _, row := range rows {
			if row.Key != 0 {
				final[row.Key] = append(final[row.Key], Op{Worker: "end", Kind: Get, Member: member, Outcome: Acked,
					Key: row.Key, Value: row.Value, Sent: h.End + 1, Done: h.End + 2})
			}
		}
	}
	return final
}

// registerOps selects what porcupine must find an order for. A set whose outcome is
// unknown took effect when its value was ever seen, for values are used once; one whose value nobody
// saw, also not at the end, did not: each later set names the value that it found.
func registerOps(h History, key int, final []Op, stale bool) (ops []porcupine.Operation) {
	mine := slices.DeleteFunc(slices.Clone(h.Ops), func(o Op) bool { return o.Key != key || o.Kind != Set && o.Kind != Get })
	seen := map[int64]bool{}
	for _, o := range append(mine, final...) {
		switch {
		case o.Kind == Get && o.Outcome == Acked:
			seen[o.Value] = true
		case o.Kind == Set && o.Outcome == Acked:
			seen[o.Old] = true
		}
	}
	clients := map[string]int{}
	add := func(o Op, returned time.Duration) {
		if _, ok := clients[o.Worker]; !ok {
			clients[o.Worker] = len(clients)
		}
		ops = append(ops, porcupine.Operation{ClientId: clients[o.Worker], Call: int64(o.Sent), Return: int64(returned),
			Input: swap{set: o.Kind == Set, old: o.Old, new: o.New, value: o.Value}})
	}
	for _, o := range mine {
		switch {
		case o.Kind == Get && stale:
		case o.Outcome == Acked:
			add(o, o.Done)
		case o.Kind == Set && o.Outcome == Unknown && seen[o.New]:
			add(o, h.End+3) // it may have taken effect long after its client gave up
		}
	}
	for _, o := range final {
		add(o, o.Done)
	}
	return ops
}
