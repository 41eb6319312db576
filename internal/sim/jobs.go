package sim

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Jobs: what takes longer than a tick.

func (a *agent) startJob(s core.Step) error {
	if a.job.Running {
		return errJob
	}
	w, p := a.n.w, &a.n.pg
	a.jobs++
	job := a.jobs
	a.job = core.Job{Kind: string(s.Kind), ID: s.ID, Running: true}
	w.note(a.n, "job", a.jobs, "%s begins: %s", s.Kind, s.Why)
	end := func(err string) {
		if a.jobs == job && a.job.Running {
			a.jobEnds(err)
		}
	}
	switch s.Kind {
	case core.StepInit:
		a.group.after(w.between(500*time.Millisecond, 3*time.Second), func() { end(p.initdb()) })
	case core.StepCheckpoint:
		p.checkpointJob(a.group.asks(), end)
	case core.StepClone:
		source := &w.byName(s.Member).pg
		a.saving(s.Fork, func() {
			a.copying(source, w.between(w.o.Clone/4, w.o.Clone), func() { end(p.clone(source)) }, end)
		}, end)
	case core.StepRewind:
		source := &w.byName(s.Member).pg
		a.saving(s.Fork, func() { a.rewind(source, end) }, end)
	}
	return nil
}

func (a *agent) rewind(source *server, end func(string)) {
	w, p := a.n.w, &a.n.pg
	a.group.after(w.between(50*time.Millisecond, time.Second), func() {
		if err := p.rewindBegins(source); err != "" {
			end(err)
			return
		}
		a.copying(source, w.between(100*time.Millisecond, 4*time.Second), func() { end(p.rewound(source)) }, end)
	})
}

func (a *agent) jobEnds(err string) {
	a.job.Running, a.job.Err, a.job.EndedAt = false, err, a.n.clock()
	if err == notSaved {
		a.job.Code = core.CondForkNotSaved
	}
	a.n.w.note(a.n, "job", len(err), "%s ended: %s", a.job.Kind, err)
	if a.job.Kind != string(core.StepCheckpoint) {
		a.factsAt = 0
		a.instance, a.data = core.Instance{State: core.StateUnknown}, core.Data{State: core.DataUnknown, Text: "being read again"}
	}
	a.poke()
}

// copying lasts while the source is there to copy from.
func (a *agent) copying(source *server, d time.Duration, whole func(), failed func(string)) {
	w, epoch, until := a.n.w, source.group.epoch, a.n.w.now+d
	var look func()
	look = func() {
		switch {
		case source.group.epoch != epoch || source.state != core.StateRunning || w.isCut(source.n.i, a.n.i) || w.isCut(a.n.i, source.n.i):
			failed("the source does not answer")
		case w.now >= until:
			whole()
		default:
			a.group.after(min(time.Second, until-w.now), look)
		}
	}
	a.group.after(0, look)
}

func (p *server) initdb() string {
	if p.data.State != core.DataAbsent {
		return "the data directory is not empty"
	}
	w := p.n.w
	w.inits++
	w.hist.Initialised(w.inits)
	p.data = core.Data{State: core.DataPresent, ClusterID: clusterID, SystemID: systemID}
	p.timeline, p.ckptTL, p.control = 1, 1, "shut down"
	p.wal = append(p.wal, w.newRecord(false))
	p.checkpoint = p.last()
	return ""
}

func (p *server) checkpointJob(asker reply, end func(string)) {
	w, epoch := p.n.w, p.group.epoch
	if p.state != core.StateRunning {
		asker.after(time.Millisecond, func() { end("not connected") })
		return
	}
	var look func()
	until := w.now + w.between(5*time.Millisecond, 1500*time.Millisecond)
	look = func() {
		switch {
		case p.group.epoch != epoch || p.state != core.StateRunning:
			end("the connection was lost")
		case w.now < until || p.hung > 0 || p.group.frozen > 0:
			asker.after(100*time.Millisecond, look)
		default:
			p.setWaits(p.conf.Sync.K > 0) // the checkpointer has read the settings of before it began
			p.checkpointed()
			end("")
		}
	}
	asker.after(20*time.Millisecond, look)
}

// clone puts a whole copy of the source in place; what was there is set aside.
func (p *server) clone(source *server) string {
	if !p.n.warden.alive || !p.n.warden.empty {
		return "PostgreSQL runs in the data directory"
	}
	w := p.n.w
	w.hist.Dropped(p.n.i, p.has, source.has)
	p.replaced(source)
	if len(p.wal) > 0 {
		p.evidence.aside = append(p.evidence.aside, p.wal)
	}
	p.copyOf(source)
	p.control = "in archive recovery" // backup_label: see observe
	for i := range p.slots {
		p.slots[i], p.lostSlots[i] = false, false
	}
	return ""
}

func (p *server) copyOf(source *server) {
	p.data, p.half = source.data, half{}
	p.data.State = core.DataPresent
	p.wal, p.timeline, p.history, p.ckptTL, p.oldest = slices.Clone(source.wal), source.timeline, source.history, source.ckptTL, source.oldest
	p.checkpoint, p.conf, p.signal = source.checkpoint, core.Conf{}, true
	p.n.agent.confKey, p.n.agent.follows = "", ""
	p.evidence.proven = false
}

// rewindBegins does what comes before the point of no return.
func (p *server) rewindBegins(source *server) string {
	switch {
	case p.data.State != core.DataPresent:
		return "an earlier rewind was interrupted"
	case source.state != core.StateRunning || !source.open || p.n.w.isCut(source.n.i, p.n.i):
		return "the source does not answer"
	case source.ckptTL != source.timeline:
		return "the source has made no checkpoint since its promotion"
	case !p.n.warden.empty:
		return "target server must be shut down cleanly"
	}
	if p.control == "in production" || p.control == "shutting down" {
		p.wal = append(p.wal[:len(p.wal):len(p.wal)], p.n.w.newRecord(false)) // recovery in single-user mode
		p.checkpoint, p.ckptTL, p.control = p.last(), p.timeline, "shut down"
	}
	if at, ok := source.history.ForkOf(p.ckptTL, source.ckptTL); p.ckptTL == source.ckptTL || ok && p.end() <= at {
		p.n.w.note(p.n, "rewind", 0, "pg_rewind finds nothing to do")
		return ""
	}
	p.data.State = core.DataBroken
	return ""
}

// rewound: the copy is whole.
func (p *server) rewound(source *server) string {
	if p.data.State == core.DataBroken {
		p.n.w.hist.Dropped(p.n.i, p.has, source.has)
		p.replaced(source)
		p.copyOf(source)
		p.control = "in archive recovery"
	}
	p.signal = true
	return ""
}

// jobDied: the agent ended in the middle of it.
func (p *server) jobDied(j core.Job) {
	if j.Running && j.Kind == string(core.StepInit) {
		p.data = core.Data{State: core.DataAbsent}
	}
}
