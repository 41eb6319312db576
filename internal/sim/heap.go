package sim

import "time"

// event is something that happens at a moment. Events of one moment happen in the order
// in which they were planned.
type event struct {
	at    time.Duration
	seq   uint64
	group *group // of processes that the event belongs to; nil: the world's
	epoch int
	fn    func()
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// heap is a heap of events in which each has four children: half as deep as a binary one,
// and the four lie side by side. (container/heap boxes each event in an interface; that
// was measured to be a quarter of a run.)
type heap []event

func (h *heap) push(e event) {
	list := append(*h, e)
	i := len(list) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&list[parent]) {
			break
		}
		list[i] = list[parent]
		i = parent
	}
	list[i] = e
	*h = list
}

func (h *heap) pop() event {
	list := *h
	top, last := list[0], len(list)-1
	e := list[last]
	list[last] = event{}
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
			if list[child].before(&list[least]) {
				least = child
			}
		}
		if !list[least].before(&e) {
			break
		}
		list[i] = list[least]
		i = least
	}
	list[i] = e
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
