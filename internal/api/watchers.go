package api

// watchers are who reads streams of events. Their owner's lock guards them. Nobody is waited for: who does not read is dropped.
type watchers map[*watcher]audience

// watcher is one reader. Its channel is closed when it is told nothing more.
type watcher struct{ events chan event }

// audience is who is told something: people, who look at the whole cluster, or members, who look at this one's events, and
// those of them that know of decisions.
type audience int

const (
	people audience = 1 << iota
	members
	deciding
	everybody = people | members
)

func (ws watchers) add(as audience) *watcher {
	w := &watcher{events: make(chan event, eventsWaiting)}
	ws[w] = as
	return w
}

// tell gives the event to those whom it is for.
func (ws watchers) tell(e event, to audience) {
	for w, as := range ws {
		if as&to == 0 {
			continue
		}
		select {
		case w.events <- e:
		default:
			ws.drop(w)
		}
	}
}

// drop may be called again for one that is gone.
func (ws watchers) drop(w *watcher) {
	if ws[w] != 0 {
		delete(ws, w)
		close(w.events)
	}
}

func (ws watchers) dropAll() {
	for w := range ws {
		ws.drop(w)
	}
}
