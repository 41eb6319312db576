package trust

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Prober keeps what small writes tell that are made one at a time (see core.Probe). It decides when
// the next one is due and how long an open one counts; the writes are made elsewhere.
type Prober struct {
	Every time.Duration

	facts  core.Probe
	sent   core.Instant
	looked core.Instant
	number int // of the newest attempt: one that belongs to another server is not heard
}

// gap is what two looks are never apart by while the agent runs.
const gap = 3 * time.Second

// Due says that a write is to be sent now, and counts it as sent. Answered takes its number.
func (p *Prober) Due(now core.Instant) (number int, due bool) {
	if p.facts.Pending || p.sent != 0 && now.Sub(p.sent) < p.Every {
		return 0, false
	}
	p.number++
	p.sent, p.facts.Pending = now, true
	if p.facts.Since == 0 {
		p.facts.Since = now
	}
	return p.number, true
}

// Answered is the end of attempt number: code is empty where no server said one.
func (p *Prober) Answered(number int, now core.Instant, err error, code string) {
	if number != p.number || !p.facts.Pending {
		return
	}
	p.facts.Pending = false
	if err != nil {
		p.facts.Err, p.facts.Code = err.Error(), code
		return
	}
	took := now.Sub(p.sent)
	if p.facts.Took != 0 {
		took = (3*p.facts.Took + took) / 4 // one slow commit is no slow disk
	}
	p.facts = core.Probe{OKAt: p.sent, Took: took}
}

// Look gives the facts. Time in which nobody looked does not count: a machine that stood still finds
// its writes as old as its pause, and their answers a moment later.
func (p *Prober) Look(now core.Instant) core.Probe {
	if lost := now.Sub(p.looked); p.looked != 0 && lost > gap && p.facts.Since != 0 {
		p.facts.Since = min(now, p.facts.Since.Add(lost))
	}
	p.looked = now
	return p.facts
}

// Forget is for another server, or none: what is under way belongs to the one before.
func (p *Prober) Forget() {
	p.facts, p.sent = core.Probe{}, 0
	p.number++
}
