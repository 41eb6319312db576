package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

// builder makes a View from a script's lines.
type builder struct {
	v    View
	mem  Memory
	plan Plan
}

// words are a line's tokens: flags ("vacant", "-vacant") and settings ("lsn=0/5000").
// An underscore in a value is a space.
type words []string

func (w words) value(key string) (string, bool) {
	for _, word := range w {
		if v, ok := strings.CutPrefix(word, key+"="); ok {
			return strings.ReplaceAll(v, "_", " "), true
		}
	}
	return "", false
}

func (w words) text(key string, into *string) {
	if v, ok := w.value(key); ok {
		*into = v
	}
}

func (w words) flag(key string, into *bool) {
	if slices.Contains(w, key) {
		*into = true
	}
	if slices.Contains(w, "-"+key) {
		*into = false
	}
}

func (w words) number(key string, into any) {
	v, ok := w.value(key)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic(scriptError(err.Error()))
	}
	switch into := into.(type) {
	case *int:
		*into = int(n)
	case *int64:
		*into = n
	case *uint64:
		*into = uint64(n)
	case *wal.Timeline:
		*into = wal.Timeline(n)
	}
}

func (w words) lsn(key string, into *wal.LSN) {
	if v, ok := w.value(key); ok {
		l, err := wal.ParseLSN(v)
		if err != nil {
			panic(scriptError(err.Error()))
		}
		*into = l
	}
}

func (w words) duration(key string, into *time.Duration) bool {
	v, ok := w.value(key)
	if ok {
		d, err := time.ParseDuration(v)
		if err != nil {
			panic(scriptError(err.Error()))
		}
		*into = d
	}
	return ok
}

// instant reads a time relative to now, e.g. seen=-6s; "never" is zero.
func (w words) instant(key string, now Instant, into *Instant) {
	if v, _ := w.value(key); v == "never" || v == "none" {
		*into = 0
		return
	}
	var d time.Duration
	if w.duration(key, &d) {
		*into = now.Add(d)
	}
}

func (w words) list(key string, into *[]string) {
	for _, word := range w {
		if v, ok := strings.CutPrefix(word, key+"="); ok {
			*into = strings.FieldsFunc(v, func(r rune) bool { return r == ',' })
		}
	}
}

// set reads sync=1:b,c or sync=none.
func (w words) set(key string, into *SyncSet) {
	v, ok := w.value(key)
	if !ok {
		return
	}
	k, members, found := strings.Cut(v, ":")
	*into = SyncSet{}
	if found {
		into.Members = strings.Split(members, ",")
		into.K, _ = strconv.Atoi(k)
	}
}

func (w words) pairs(prefix string, into func(key, value string)) {
	for _, word := range w {
		if rest, ok := strings.CutPrefix(word, prefix+"."); ok {
			key, value, _ := strings.Cut(rest, "=")
			into(key, value)
		}
	}
}

type scriptError string

func (b *builder) apply(text string) (err error) {
	line := ""
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(scriptError)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("line %q: %s", line, e)
		}
	}()
	var conf words
	for line = range strings.Lines(text) {
		fields := strings.Fields(strings.SplitN(line, "#", 2)[0])
		if len(fields) == 0 {
			continue
		}
		if fields[0] == "conf" {
			conf = fields
			continue
		}
		if fields[0] == "world" {
			conf = b.preset(fields[1])
			continue
		}
		b.line(fields[0], fields[1:])
	}
	b.configured(conf)
	return nil
}

// configured sets what was last rendered: conf follow=a, conf sync=1:b,c, conf alone,
// conf unknown, or conf applied (what the last plan said).
func (b *builder) configured(w words) {
	if w == nil {
		return
	}
	if slices.Contains(w, "unknown") {
		b.v.Local.ConfKey = ""
		return
	}
	if slices.Contains(w, "applied") {
		for _, s := range b.plan.Steps {
			if s.Kind == StepConfigure {
				b.v.Local.ConfKey, b.v.Local.Held = s.Conf.Key(), s.Conf.Hold
			}
		}
		return
	}
	follow, set := "", SyncSet{}
	w.text("follow", &follow)
	w.set("sync", &set)
	d := newTestDecider(b.mem, b.v)
	c := d.conf(follow, set)
	w.flag("hold", &c.Hold)
	b.v.Local.ConfKey, b.v.Local.Held = c.Key(), c.Hold
	if !b.v.Local.Instance.Primary && len(set.Members) == 0 {
		b.v.Local.ConfKey = d.standbyConf(follow).Key()
	}
}

func (b *builder) line(key string, w words) {
	v, s := &b.v, &b.v.Store
	drop, key := strings.HasPrefix(key, "-"), strings.TrimPrefix(key, "-")
	switch key {
	case "now":
		var d time.Duration
		words{"d=" + w[0]}.duration("d", &d)
		v.Now, v.Local.ReadAt = v.Now.Add(d), v.Now.Add(d)
	case "local":
		w.instant("read", v.Now, &v.Local.ReadAt)
		w.flag("held", &v.Local.Held)
	case "self":
		v.Self = w[0]
	case "stopping":
		v.Stopping = !drop
	case "ordinal":
		v.Ordinal, _ = strconv.Atoi(w[0])
	case "failed": // a step that act could not carry out
		v.Failed = StepFailure{Kind: StepKind(w[0])}
		w.text("text", &v.Failed.Text)
		w.instant("at", v.Now, &v.Failed.At)
	case "paused":
		s.Paused = !drop
	case "store":
		w.flag("known", &s.Known)
		w.text("error", &s.Err)
		w.instant("read", v.Now, &s.ReadAt)
	case "cluster":
		w.text("id", &s.Cluster.ID)
		w.text("system", &s.Cluster.SystemID)
		w.text("bootstrap", &s.Cluster.BootstrapBy)
	case "spec":
		b.spec(w)
	case "member":
		b.member(drop, w[0], w[1:])
	case "lease":
		b.lease(w)
	case "operation":
		b.operation(drop, w)
	case "wall":
		w.number("ms", &v.Wall)
	case "pooler":
		b.pooler(drop, w)
	case "request":
		b.request(drop, w)
	case "requests":
		s.Requests = w
	case "memory":
		b.memory(w)
	case "removal":
		s.Removals = nil
		if !drop {
			s.Removals = []Removal{{ID: w[0], By: "ada", Revision: 99}}
		}
	case "peer":
		b.peer(drop, w[0], w[1:])
	default:
		b.local(drop, key, w)
	}
}

func (b *builder) local(drop bool, key string, w words) {
	l := &b.v.Local
	switch key {
	case "warden":
		w.flag("alive", &l.Warden.Alive)
		w.flag("empty", &l.Warden.Empty)
		w.flag("fenced", &l.Warden.Fenced)
		w.instant("deadline", b.v.Now, &l.Warden.Deadline)
		w.number("term", &l.Warden.Term)
		w.text("exit", &l.Warden.ExitText)
		w.instant("at", b.v.Now, &l.Warden.ExitedAt)
	case "probe":
		probeWords(&l.Probe, w, b.v.Now)
	case "disk":
		probeWords(&l.Disk.Test, w, b.v.Now)
		l.Disk.Segment = 16 << 20
		w.room("data", &l.Disk.Data)
		w.room("wal", &l.Disk.WAL)
		w.room("state", &l.Disk.State)
	case "watchdog":
		dog := Watchdog{Text: l.Warden.Watchdog.Text, Required: l.Warden.Watchdog.Required}
		if w[0] != "off" {
			dog.State = WatchdogState(w[0])
		}
		w.flag("required", &dog.Required)
		w.text("text", &dog.Text)
		w.duration("timeout", &dog.Timeout)
		l.Warden.Watchdog = dog
	case "data":
		l.Data.State = DataState(w[0])
		w.text("cluster", &l.Data.ClusterID)
		w.text("system", &l.Data.SystemID)
		w.text("text", &l.Data.Text)
	case "instance":
		instanceWords(&l.Instance, w)
	case "sender":
		l.Instance.Senders = slices.DeleteFunc(slices.Clone(l.Instance.Senders), func(s Sender) bool { return s.Member == w[0] })
		if !drop {
			s := Sender{Member: w[0], Streaming: true, FlushLSN: l.Instance.WriteLSN}
			w.flag("streaming", &s.Streaming)
			w.lsn("flush", &s.FlushLSN)
			w.lsn("replay", &s.ReplayLSN)
			l.Instance.Senders = append(l.Instance.Senders, s)
		}
	case "slot":
		l.Instance.Slots = slices.DeleteFunc(slices.Clone(l.Instance.Slots), func(s Slot) bool { return s.Name == w[0] })
		if !drop {
			s := Slot{Name: w[0]}
			w.flag("active", &s.Active)
			w.flag("lost", &s.Lost)
			l.Instance.Slots = append(l.Instance.Slots, s)
		}
	case "good":
		l.Good = map[string]string{}
		w.pairs("param", func(k, v string) { l.Good[k] = v })
	case "job":
		l.Job = b.job(drop, w)
	case "overdue":
		l.Kept.Overdue = w
	default:
		panic(scriptError("unknown word"))
	}
}

func (b *builder) job(drop bool, w words) Job {
	if drop {
		return Job{}
	}
	j := Job{Kind: w[0], Text: "under way"}
	w.text("id", &j.ID)
	w.text("err", &j.Err)
	for _, word := range w {
		if code, ok := strings.CutPrefix(word, "code="); ok {
			j.Code = Code(code)
		}
	}
	w.flag("running", &j.Running)
	w.instant("ended", b.v.Now, &j.EndedAt)
	return j
}

// probeWords: ok= took= since= pending err= code=; "well" begins anew with a write that just succeeded.
func probeWords(p *Probe, w words, now Instant) {
	if slices.Contains(w, "well") {
		*p = Probe{OKAt: now.Add(-time.Second), Took: 5 * time.Millisecond}
	}
	w.instant("ok", now, &p.OKAt)
	w.duration("took", &p.Took)
	w.instant("since", now, &p.Since)
	w.flag("pending", &p.Pending)
	w.text("err", &p.Err)
	w.text("code", &p.Code)
}

// room reads wal=30/400: megabytes free and in all.
func (w words) room(key string, into *Room) {
	if v, ok := w.value(key); ok {
		free, size, _ := strings.Cut(v, "/")
		*into = Room{Free: int64(atoi(free)) << 20, Size: int64(atoi(size)) << 20}
	}
}

func (b *builder) spec(w words) {
	s := &b.v.Store.Spec
	if _, ok := w.value("write_timeout"); ok || slices.Contains(w, "-health_failover") || slices.Contains(w, "health_failover") {
		s.Health = s.HealthRules()
		w.duration("write_timeout", (*time.Duration)(&s.Health.WriteTimeout))
		w.flag("health_failover", &s.Health.Failover)
	}
	if d, ok := w.value("durability"); ok {
		s.Durability = spec.Durability(d)
	}
	w.number("k", &s.SyncStandbys)
	w.flag("strict", &s.Strict)
	if slices.Contains(w, "discard") {
		s.Forks = s.Retention()
		s.Forks.Discard = true
	}
	w.number("maxlag", &s.MaxLagBytes)
	var most time.Duration
	if w.duration("recovery", &most) {
		s.CrashRecoveryMax = spec.Duration(most)
	}
	w.number("revision", &b.v.Store.SpecRevision)
	params := map[string]string{}
	for k, v := range s.Postgres.Parameters {
		params[k] = v
	}
	w.pairs("param", func(k, v string) { params[k] = v })
	s.Postgres.Parameters = params
}

func (b *builder) member(drop bool, name string, w words) {
	s := &b.v.Store
	i := slices.IndexFunc(s.Members, func(m MemberRecord) bool { return m.Name == name })
	if drop {
		s.Members = slices.Delete(slices.Clone(s.Members), i, i+1)
		return
	}
	s.Members = slices.Clone(s.Members)
	if i < 0 {
		i = len(s.Members)
		s.Members = append(s.Members, MemberRecord{Name: name, Ordinal: i + 1, Address: name, PGPort: 5432})
	}
	m := &s.Members[i]
	w.number("ordinal", &m.Ordinal)
	w.number("priority", &m.Tags.Priority)
	w.flag("no_failover", &m.Tags.NoFailover)
	w.flag("no_sync", &m.Tags.NoSync)
	w.text("zone", &m.Tags.Zone)
	w.flag("witness", &m.Witness)
}

func (b *builder) lease(w words) {
	s := &b.v.Store
	if slices.Contains(w, "none") {
		s.Lease, s.LeaseRevision, s.LeaseSeenAt = LeaseRecord{}, 0, 0
	}
	w.text("holder", &s.Lease.Holder)
	w.number("term", &s.Lease.Term)
	w.number("beat", &s.Lease.Beat)
	w.number("flaps", &s.Lease.Flaps)
	w.number("timeline", &s.Lease.Timeline)
	w.flag("released", &s.Lease.Released)
	w.flag("written", &s.Lease.Written)
	w.lsn("lsn", &s.Lease.LSN)
	w.number("on", &s.Lease.On)
	w.history("past", &s.Lease.Past)
	w.set("sync", &s.Lease.Sync)
	var lost []string
	w.list("lost", &lost)
	for _, v := range lost { // NAME@TL:LSN
		name, at, _ := strings.Cut(v, "@")
		l := Loss{Member: name, Term: s.Lease.Term - 1, From: position(at), To: 0x5800}
		s.Lease.Lost = []Loss{l}
	}
	w.number("revision", &s.LeaseRevision)
	w.instant("seen", b.v.Now, &s.LeaseSeenAt)
	w.flag("first", &s.LeaseFirst)
	w.number("known", &s.Lease.Known)
	w.number("renewedterm", &s.RenewedTerm)
	w.instant("renewed", b.v.Now, &s.RenewedAt)
	w.number("vouchedterm", &s.VouchedTerm)
	w.instant("vouched", b.v.Now, &s.VouchedAt)
	w.instant("asked", b.v.Now, &s.VouchAsked)
	w.text("refused", &s.VouchErr)
	if v, ok := w.value("final"); ok {
		s.Lease.Final = position(v)
	}
}

// position reads TL:LSN.
func position(text string) (p wal.Position) {
	tl, lsn, _ := strings.Cut(text, ":")
	p.Timeline = wal.Timeline(atoi(tl))
	words{"lsn=" + lsn}.lsn("lsn", &p.LSN)
	return p
}

func (b *builder) operation(drop bool, w words) {
	s := &b.v.Store
	if drop {
		s.Operation = nil
		return
	}
	o := Operation{ID: "op1", Kind: w[0], Phase: PhaseRequested, By: "ada"}
	w.text("id", &o.ID)
	w.text("from", &o.From)
	w.text("to", &o.To)
	w.text("candidate", &o.Candidate)
	w.text("phase", &o.Phase)
	w.number("term", &o.Term)
	w.flag("force", &o.Force)
	w.flag("pending", &o.Pending)
	w.list("queue", &o.Queue)
	w.number("timeout_ms", &o.TimeoutMS)
	w.number("max_wait_ms", &o.MaxWaitMS)
	w.number("at_ms", &o.AtMS)
	w.flag("dry_run", &o.DryRun)
	w.flag("rolling", &o.Rolling)
	w.flag("resume", &o.Resume)
	w.lsn("shutdown", &o.Certificate.Shutdown)
	w.flag("whole", &o.Certificate.Whole)
	s.Operation, s.OperationRevision, s.OperationSeenAt = &o, 77, b.v.Now
	w.instant("seen", b.v.Now, &s.OperationSeenAt)
	s.PhaseSeenAt = s.OperationSeenAt
	w.instant("phase_seen", b.v.Now, &s.PhaseSeenAt)
}

// pooler NAME seen=-1s hold=STATE of=op1 text=why
func (b *builder) pooler(drop bool, w words) {
	s := &b.v.Store
	s.Poolers = slices.DeleteFunc(slices.Clone(s.Poolers), func(p Pooler) bool { return p.Name == w[0] })
	if drop {
		return
	}
	p := Pooler{PoolerRecord: PoolerRecord{Name: w[0], Beat: 1}, Revision: 60, SeenAt: b.v.Now}
	w.instant("seen", b.v.Now, &p.SeenAt)
	h := PoolerHold{Operation: "op1"}
	if w.text("hold", &h.State); h.State != "" {
		w.text("of", &h.Operation)
		w.text("text", &h.Text)
		p.Hold = &h
	}
	s.Poolers = append(s.Poolers, p)
}

func (b *builder) request(drop bool, w words) {
	s := &b.v.Store
	if drop {
		s.Request = nil
		return
	}
	r := Request{ID: "req1", Kind: w[0], Phase: PhaseRequested, By: "ada", Revision: 88}
	w.text("phase", &r.Phase)
	w.text("of", &r.Of)
	s.Request = &r
}

func (b *builder) memory(w words) {
	if slices.Contains(w, "lost") {
		b.mem = Memory{}
	}
	w.instant("vacant", b.v.Now, &b.mem.VacantSince)
	if b.mem.VacantSince != 0 {
		b.mem.VacantTerm = b.v.Store.Lease.Term
	}
	w.number("rejected", &b.mem.RejectedRevision)
	if w.text("handed", &b.mem.Handed.Operation); b.mem.Handed.Operation != "" {
		b.mem.Handed.Shutdown = 0x5000
	}
	w.pairs("failed", func(kind, n string) {
		count, _ := strconv.Atoi(n)
		if b.mem.Failures == nil {
			b.mem.Failures = map[string]Failure{}
		}
		b.mem.Failures[kind] = Failure{Count: count, At: b.v.Now}
	})
	if v, ok := w.value("proof"); ok {
		b.mem.Proof = SyncProof{Names: v, Since: b.v.Now.Add(-time.Second), LSN: 0x5000}
	}
}

func (b *builder) peer(drop bool, name string, w words) {
	v := &b.v
	v.Peers = slices.Clone(v.Peers)
	i := slices.IndexFunc(v.Peers, func(p Peer) bool { return p.Name == name })
	if drop {
		v.Peers = slices.Delete(v.Peers, i, i+1)
		return
	}
	if i < 0 {
		i = len(v.Peers)
		v.Peers = append(v.Peers, Peer{Name: name, Known: true, Term: v.Store.Lease.Term, Beat: v.Store.Lease.Beat})
	}
	p := &v.Peers[i]
	w.flag("known", &p.Known)
	w.duration("age", &p.Age)
	w.text("err", &p.Err)
	w.number("term", &p.Term)
	w.number("beat", &p.Beat)
	w.flag("vacant", &p.Vacant)
	w.flag("stopping", &p.Stopping)
	w.flag("unwatched", &p.Unwatched)
	w.flag("unwell", &p.Unwell)
	w.flag("rejected", &p.Rejected)
	if kind, ok := w.value("job"); ok {
		p.Job = Job{Kind: kind, Running: true}
	}
	instanceWords(&p.Instance, w)
}

// instanceWords changes a PostgreSQL's facts. Naming a state begins anew with what such
// a server has.
func instanceWords(i *Instance, w words) {
	if len(w) > 0 {
		switch w[0] {
		case "primary":
			*i = Instance{State: StateRunning, Primary: true, SystemID: "7", Timeline: 1, CheckpointTimeline: 1, WriteLSN: 0x5000, Roles: true, Control: "in production", OldestWAL: 0x1000}
		case "standby":
			*i = Instance{State: StateRunning, SystemID: "7", Timeline: 1, CheckpointTimeline: 1, ReceivedLSN: 0x5000, ReplayLSN: 0x5000, ReplayDone: true, Control: "in archive recovery"}
		case "stopped":
			*i = Instance{State: StateStopped, SystemID: "7", Timeline: 1, CheckpointTimeline: 1, Control: "in production", LastRecord: 0x4F80}
		case "starting", "stopping", "unknown":
			*i = Instance{State: InstanceState(w[0]), Control: i.Control}
		}
	}
	w.text("system", &i.SystemID)
	w.number("tl", &i.Timeline)
	w.lsn("write", &i.WriteLSN)
	w.lsn("replay", &i.ReplayLSN)
	w.lsn("at", &i.ReplayLSN)
	w.lsn("at", &i.ReceivedLSN)
	w.flag("replayed", &i.ReplayDone)
	w.flag("receiver", &i.Receiver)
	w.flag("streaming", &i.Streaming)
	var slots []string
	if w.list("slots", &slots); slots != nil {
		i.Slots = nil
		for _, name := range slots {
			i.Slots = append(i.Slots, Slot{Name: name})
		}
	}
	w.text("follows", &i.Follows)
	w.text("control", &i.Control)
	w.lsn("checkpoint", &i.Checkpoint)
	w.number("cptl", &i.CheckpointTimeline)
	w.lsn("last", &i.LastRecord)
	w.lsn("redo", &i.RedoLSN)
	w.lsn("recovered", &i.RecoveryLSN)
	w.lsn("oldest", &i.OldestWAL)
	w.flag("roles", &i.Roles)
	w.number("sessions", &i.Sessions)
	w.number("sessions_max", &i.SessionsMax)
	w.number("corrupt", &i.Corrupt)
	w.list("pending", &i.Pending)
	w.list("unguarded", &i.Unguarded)
	w.text("unarchived", &i.Unarchived)
	set := SyncSet{i.SyncNames, i.SyncK}
	w.set("sync", &set)
	i.SyncNames, i.SyncK = set.Members, set.K
	w.history("history", &i.History)
	w.pairs("limit", func(k, v string) { i.Limits = map[string]int{k: atoi(v)} })
	w.pairs("primarylimit", func(k, v string) { i.PrimaryLimits = map[string]int{k: atoi(v)} })
}

// history reads TL@LSN,TL@LSN: where each timeline was left.
func (w words) history(key string, into *wal.History) {
	v, ok := w.value(key)
	if !ok {
		return
	}
	*into = nil
	for _, part := range strings.Split(v, ",") {
		h, err := wal.ParseHistory(strings.Replace(part, "@", " ", 1))
		if err != nil {
			panic(scriptError(err.Error()))
		}
		*into = append(*into, h...)
	}
}

// presets are whole situations: members a, b and c, term 5 of a, commits on any one
// of b and c.
func (b *builder) preset(name string) (conf words) {
	v := &b.v
	*b = builder{}
	v.Now, v.Self = Instant(1000*time.Second), "a"
	v.Store = StoreView{Known: true, ReadAt: v.Now, Spec: testSpec(), SpecRevision: 3, ClusterRevision: 2,
		Cluster: ClusterRecord{ID: "id", Name: "main", BootstrapBy: "a", SystemID: "7"}}
	for _, m := range []string{"a", "b", "c"} {
		b.line("member", words{m})
	}
	b.line("lease", words{"holder=a", "term=5", "beat=10", "revision=50", "seen=-500ms", "lsn=0/5000", "timeline=1", "sync=1:b,c"})
	v.Local = Local{ReadAt: v.Now, Warden: Warden{Alive: true, Term: 5}, Data: Data{State: DataPresent, ClusterID: "id", SystemID: "7"}, Good: v.Store.Spec.Postgres.Parameters}
	switch name {
	case "primary", "crashed":
		b.line("lease", words{"renewedterm=5", "renewed=-500ms"})
		b.line("warden", words{"deadline=3500ms"})
		b.line("instance", words{"primary", "sync=1:b,c"})
		for _, m := range []string{"b", "c"} {
			b.line("sender", words{m})
			b.line("slot", words{spec.SlotName(m), "active"})
			b.line("peer", words{m, "standby", "receiver", "streaming", "follows=a"})
		}
		if name == "crashed" {
			b.line("instance", words{"stopped"})
			b.line("warden", words{"empty", "exit=signal:_killed", "at=-10ms"})
			b.line("peer", words{"b", "-receiver", "-streaming"})
			b.line("peer", words{"c", "-receiver", "-streaming"})
		}
		return words{"sync=1:b,c"}
	case "standby":
		v.Self = "b"
		b.line("instance", words{"standby", "receiver", "streaming", "follows=a"})
		b.line("peer", words{"a", "primary"})
		b.line("peer", words{"c", "standby", "receiver", "streaming", "follows=a"})
		return words{"follow=a"}
	case "stopped": // an old primary, which stopped; b leads term 6 on timeline 2
		b.line("lease", words{"holder=b", "term=6", "beat=3", "timeline=2", "sync=1:c"})
		b.line("instance", words{"stopped"})
		b.line("warden", words{"empty"})
		b.line("peer", words{"b", "primary", "tl=2", "cptl=2", "history=1@0/5000", "write=0/6000"})
		b.line("peer", words{"c", "standby", "tl=2", "at=0/6000", "receiver", "streaming", "follows=b"})
		return words{"unknown"}
	case "vacant":
		v.Self = "b"
		b.line("lease", words{"seen=-6s"})
		b.line("instance", words{"standby", "follows="})
		b.line("peer", words{"a", "-known", "err=connection_refused"})
		b.line("peer", words{"c", "standby", "vacant", "follows="})
		return words{"alone"}
	case "elected": // b took the lease a moment ago
		v.Self = "b"
		b.line("lease", words{"holder=b", "term=6", "beat=1", "revision=51", "seen=-5ms", "renewed=-5ms", "renewedterm=6", "timeline=2", "sync=none"})
		b.line("instance", words{"standby", "follows="})
		b.line("peer", words{"a", "-known", "err=connection_refused"})
		b.line("peer", words{"c", "standby", "vacant", "follows="})
		return words{"alone"}
	case "empty":
		v.Store.Cluster.SystemID = ""
		b.line("lease", words{"none"})
		b.line("data", words{"absent", "cluster=", "system="})
		b.line("warden", words{"empty", "term=0"})
		v.Local.Instance, v.Local.Good = Instance{State: StateStopped}, nil
		for _, m := range []string{"b", "c"} {
			b.line("peer", words{m})
			v.Peers[len(v.Peers)-1].Instance.State = StateStopped
		}
		return words{"unknown"}
	}
	panic(scriptError("unknown world"))
}
