package history

import (
	"maps"
	"slices"
)

// checkRows compares what was told to clients with what there is (N1, N2).
func checkRows(h History, rowsOnMembers map[string][]Row, bounds Bounds, r *Report) {
	ops := map[int64]Op{}
	for _, o := range h.Ops {
		if o.Kind == Insert {
			ops[o.ID] = o
		}
	}
	lost := map[int64]bool{}
	for _, member := range slices.Sorted(maps.Keys(rowsOnMembers)) {
		checkMember(member, ids(rowsOnMembers[member]), ops, bounds, lost, r)
	}
	r.Lost = len(lost)
	checkLossBytes(ops, lost, bounds, r)
}

// ids counts how often each row is there.
func ids(rows []Row) map[int64]int {
	there := map[int64]int{}
	for _, row := range rows {
		if row.Key == 0 {
			there[row.ID]++
		}
	}
	return there
}

func checkMember(member string, there map[int64]int, ops map[int64]Op, bounds Bounds, lost map[int64]bool, r *Report) {
	var missing, twice, refused, unasked []int64
	for id, o := range ops {
		if o.Outcome == Acked && there[id] == 0 {
			missing = append(missing, id)
			lost[id] = true
		}
	}
	for id, n := range there {
		o, asked := ops[id]
		switch {
		case !asked:
			unasked = append(unasked, id)
		case o.Outcome == Refused:
			refused = append(refused, id)
		}
		if n > 1 {
			twice = append(twice, id)
		}
	}
	r.Duplicated += len(twice)
	r.Unexpected += len(refused) + len(unasked)
	if bounds.LossAllowed == "" {
		r.rows(missing, "%s lacks %d acknowledged rows: %v", member)
	}
	r.rows(twice, "%s has %d rows more than once: %v", member)
	r.rows(refused, "%s has %d rows whose clients were told that they were refused: %v", member)
	r.rows(unasked, "%s has %d rows that nobody wrote: %v", member)
}

func (r *Report) rows(ids []int64, format, member string) {
	if len(ids) > 0 {
		slices.Sort(ids)
		r.problem(format, member, len(ids), ids[:min(10, len(ids))])
	}
}

// checkLossBytes measures the range of WAL that the lost rows were in, where a loss is allowed.
func checkLossBytes(ops map[int64]Op, lost map[int64]bool, bounds Bounds, r *Report) {
	var from, to uint64
	for id := range lost {
		lsn := ops[id].LSN
		if from == 0 || lsn < from {
			from = lsn
		}
		to = max(to, lsn)
	}
	r.LostBytes = to - from
	if bounds.LossBytesMax > 0 && r.LostBytes > bounds.LossBytesMax {
		r.problem("the lost rows were in %d bytes of WAL, more than %d", r.LostBytes, bounds.LossBytesMax)
	}
}
