package history

import (
	"cmp"
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
	checkSame(rowsOnMembers, r)
	r.Lost = len(lost)
	checkLossBytes(ops, lost, bounds, r)
}

// checkSame: whatever was told to whom, the members hold the same, row by row. A write of unknown outcome
// may be there or not, but not on one of them only; neither does an allowed loss allow that.
func checkSame(rowsOnMembers map[string][]Row, r *Report) {
	members := slices.Sorted(maps.Keys(rowsOnMembers))
	for i, member := range members {
		if i == 0 {
			continue
		}
		if other := differing(rowsOnMembers[members[0]], rowsOnMembers[member]); len(other) > 0 {
			r.problem("%s and %s differ in %d rows: %+v", members[0], member, len(other), other[:min(10, len(other))])
		}
	}
}

// differing lists the rows that are not equally often in both.
func differing(a, b []Row) (rows []Row) {
	more := map[Row]int{}
	for _, row := range a {
		more[row]++
	}
	for _, row := range b {
		more[row]--
	}
	for row, n := range more {
		if n != 0 {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
	})
	return rows
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
