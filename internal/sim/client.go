package sim

// write is one commit of a client, half of the time after a read, and the next one later. Clients reach every host at any
// time: whoever would accept a write gets one.
func (w *World) write() {
	target := w.nodes[w.rng.IntN(len(w.nodes))]
	if w.rng.IntN(4) > 0 {
		for i := range w.nodes {
			if n := w.nodes[(target.i+i)%len(w.nodes)]; n.pg.open {
				target = n
				break
			}
		}
	}
	p := &target.pg
	p.group.after(w.latency(), p.onWrite)
	w.after(w.o.Think/2+w.upTo(w.o.Think), w.writes)
}

// serve is what a client's write finds where it arrives.
func (p *server) serve() {
	if !p.open || p.holds {
		return
	}
	if p.n.w.oneIn(2) {
		p.look()
	}
	p.insert()
}
