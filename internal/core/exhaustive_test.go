package core

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// Every small world: each fact at each of its few values, in all combinations. What
// rapid finds by luck, this finds for sure.

// odometer counts through all combinations of choices.
type odometer struct {
	sizes, at []int
	pos       int
}

func (o *odometer) choose(n int) int {
	if o.pos == len(o.sizes) {
		o.sizes, o.at = append(o.sizes, n), append(o.at, 0)
	}
	c := o.at[o.pos]
	o.pos++
	return c
}

func (o *odometer) next() bool {
	o.pos = 0
	for i := len(o.at) - 1; i >= 0; i-- {
		if o.at[i]++; o.at[i] < o.sizes[i] {
			return true
		}
		o.sizes, o.at = o.sizes[:i], o.at[:i] // later choices may depend on this one
	}
	return false
}

func smallInstance(kind int, at wal.LSN) Instance {
	i := Instance{State: StateRunning, SystemID: "7", Timeline: 1, CheckpointTimeline: 1, Roles: true, Control: "in production"}
	switch kind {
	case 0:
		i.Control, i.ReceivedLSN, i.ReplayLSN, i.ReplayDone, i.SyncNames, i.SyncK = "in archive recovery", at, at, true, []string{"b", "c"}, 1
	case 1:
		i.Primary, i.WriteLSN, i.SyncNames, i.SyncK = true, at, []string{"b", "c"}, 1
	case 2:
		i.State, i.Control, i.Checkpoint, i.LastRecord = StateStopped, "shut down", at-100, at-100
	case 3:
		i.State, i.LastRecord = StateStopped, at-100
	case 4:
		i = Instance{State: StateStarting, Control: "in production"}
	}
	return i
}

func smallPeer(o *odometer, name string) Peer {
	p := Peer{Name: name, Known: true, Term: 5, Beat: 9}
	kind := o.choose(4)
	if kind == 0 {
		p.Err = "no answer"
		return p
	}
	at := []wal.LSN{0x5080, 0x5000, 0x5100}[o.choose(3)]
	switch kind {
	case 1:
		p.Instance = smallInstance(0, at)
		p.Instance.Receiver, p.Instance.Streaming = true, true
	case 2:
		p.Instance, p.Vacant = smallInstance(0, at), true
	case 3:
		p.Instance = smallInstance(1, at)
		p.Instance.Timeline, p.Instance.CheckpointTimeline, p.Instance.History = 2, 2, wal.History{{Timeline: 1, LSN: 0x5000}}
	}
	return p
}

func smallWorld(o *odometer) View {
	v := View{Now: drawnNow, Self: "a"}
	s := &v.Store
	*s = StoreView{Known: true, ReadAt: v.Now, Spec: testSpec(), Cluster: ClusterRecord{ID: "id", BootstrapBy: "a", SystemID: "7"}, LeaseRevision: 50}
	for n, name := range []string{"a", "b", "c"} {
		s.Members = append(s.Members, MemberRecord{Name: name, Ordinal: n + 1})
	}
	s.Lease = LeaseRecord{Holder: []string{"a", "b"}[o.choose(2)], Term: 5, Beat: 9, Timeline: 2, LSN: 0x5000, Released: o.choose(2) == 1}
	s.Lease.Sync = []SyncSet{{}, {[]string{"b", "c"}, 1}, {[]string{"a", "c"}, 1}}[o.choose(3)]
	s.LeaseSeenAt = v.Now.Add(-[]time.Duration{time.Second, 6 * time.Second}[o.choose(2)])
	if s.Lease.Holder == "a" && o.choose(2) == 1 {
		s.RenewedTerm, s.RenewedAt = 5, v.Now.Add(-time.Second)
	}
	s.Paused, v.Stopping = o.choose(2) == 1, o.choose(2) == 1
	kind := o.choose(5)
	v.Local.Instance = smallInstance(kind, 0x5080)
	v.Local.Warden = Warden{Alive: true, Empty: kind == 2 || kind == 3, Term: 5}
	if o.choose(2) == 1 {
		v.Local.Warden.Deadline = v.Now.Add(time.Second)
	}
	if kind == 3 {
		v.Local.Warden.ExitText = "signal: killed"
	}
	v.Local.Data = Data{State: DataPresent, ClusterID: "id", SystemID: "7"}
	if o.choose(2) == 1 && v.Local.Warden.Empty {
		v.Local.Data = Data{State: DataAbsent}
	}
	v.Local.ConfKey = newTestDecider(Memory{}, v).standbyConf("").Key()
	v.Peers = []Peer{smallPeer(o, "b"), smallPeer(o, "c")}
	return v
}

func TestLawsHoldInEverySmallWorld(t *testing.T) {
	o, n := &odometer{}, 0
	did := map[StepKind]int{}
	for more := true; more; more = o.next() {
		v := smallWorld(o)
		n++
		if testing.Short() && n%7 != 0 {
			continue
		}
		plan, _, report := Decide(Memory{}, v)
		for _, s := range plan.Steps {
			did[s.Kind]++
		}
		if wrong := checkLaws(Memory{}, v); wrong != "" {
			t.Fatalf("%s\n%s%s", wrong, describe(v, plan, report), asJSON(v))
		}
	}
	t.Logf("%d worlds: %v", n, did)
	for _, kind := range []StepKind{StepPutLease, StepFence, StepStart, StepStop, StepPromote, StepClone, StepRewind, StepConfigure, StepDisarm} {
		if did[kind] == 0 {
			t.Errorf("no small world comes to a %s: they are too small to show anything", kind)
		}
	}
}
