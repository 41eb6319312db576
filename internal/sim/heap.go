package sim

import "time"

// event is something that happens at a moment. Events of one moment happen in the order
// in which they were planned.
type event struct {
	at    time.Duration
	group *group // of processes that the event belongs to; nil: the world's
	epoch int
	fn    func()
}

// queue gives events in their order. The events stay where they were put; what is sorted are their
// turns, which are small and without pointers. (To move whole events was a seventh of a run.)
type queue struct {
	turns  heap
	events []event // by slot
	free   []int32 // slots
	seq    uint32
}

func (q *queue) put(e event) {
	if len(q.free) == 0 {
		q.free = append(q.free, int32(len(q.events)))
		q.events = append(q.events, event{})
	}
	last := len(q.free) - 1
	slot := q.free[last]
	q.free = q.free[:last]
	q.events[slot] = e
	q.seq++
	q.turns.push(turn{e.at, q.seq, slot})
}

func (q *queue) take() event {
	slot := q.turns.pop().slot
	e := q.events[slot]
	q.events[slot].fn = nil // what it holds is garbage soon
	q.free = append(q.free, slot)
	return e
}

// due: the next event happens by then.
func (q *queue) due(by time.Duration) bool { return len(q.turns) > 0 && q.turns[0].at <= by }

// turn is an event's place in time.
type turn struct {
	at   time.Duration
	seq  uint32
	slot int32
}

func (t turn) before(o turn) bool {
	return t.at < o.at || t.at == o.at && t.seq < o.seq
}

// heap is a heap of turns in which each has four children: half as deep as a binary one,
// and the four lie side by side. (container/heap boxes each in an interface; that
// was measured to be a quarter of a run.)
type heap []turn

func (h *heap) push(t turn) {
	list := append(*h, t)
	i := len(list) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !t.before(list[parent]) {
			break
		}
		list[i] = list[parent]
		i = parent
	}
	list[i] = t
	*h = list
}

func (h *heap) pop() turn {
	list := *h
	top, last := list[0], len(list)-1
	t := list[last]
	list = list[:last]
	*h = list
	if last == 0 {
		return top
	}
	i := 0
	for {
		least, end := 4*i+1, min(4*i+5, last)
		if least >= last {
			break
		}
		for child := least + 1; child < end; child++ {
			if list[child].before(list[least]) {
				least = child
			}
		}
		if !list[least].before(t) {
			break
		}
		list[i] = list[least]
		i = least
	}
	list[i] = t
	return top
}

// group is a set of processes that are killed and frozen together: an agent, a warden, a
// PostgreSQL. What happens to it while it is frozen happens when it thaws.
type group struct {
	w        *World
	epoch    int // grows with each death: events of the dead are dropped
	frozen   int
	deferred []event
}

func (g *group) after(d time.Duration, fn func()) {
	g.w.plan(event{at: g.w.now + d, group: g, epoch: g.epoch, fn: fn})
}

func (g *group) kill() {
	g.epoch++
	g.deferred = g.deferred[:0]
}

func (g *group) freeze() { g.frozen++ }

// thaw lets everything that waited happen now, in its order.
func (g *group) thaw() {
	if g.frozen--; g.frozen > 0 {
		return
	}
	for _, e := range g.deferred {
		e.at = g.w.now
		g.w.plan(e)
	}
	g.deferred = nil
}
