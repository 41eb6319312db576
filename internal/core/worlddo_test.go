package core

import (
	"slices"

	"github.com/pgherd/pgherd/internal/wal"
)

// do carries out one step on the model; false ends the tick.
func (n *node) do(s Step, v View) bool {
	w := n.w
	if s.Guard.Deadline != 0 && w.now >= s.Guard.Deadline || s.Guard.Term != 0 && n.known.Lease.Term > s.Guard.Term {
		return false
	}
	switch s.Kind {
	case StepPutLease, StepPutCluster, StepPutOperation, StepPutRequest, StepEndRequest:
		return !n.cut && n.put(s)
	case StepFence:
		n.kill("fenced")
		n.warden.Deadline, n.warden.Fenced = 0, true
	case StepDisarm:
		n.warden.Deadline = 0
	case StepStart:
		return n.start(s)
	case StepStop:
		if !n.warden.Empty {
			n.stop()
		}
	case StepPromote:
		n.promote(s.Timeline)
	case StepConfigure:
		n.conf, n.confKey = *s.Conf, s.Conf.Key()
	case StepMarkGood:
		n.good = s.Conf.Params
	case StepInit, StepClone, StepRewind, StepCheckpoint:
		if s.Kind == StepClone && !n.warden.Empty {
			w.t.Fatalf("%s is cloned over a running server", n.name)
		}
		n.job, n.jobStep = Job{Kind: string(s.Kind), ID: s.ID, Running: true}, &s
	}
	return true
}

func (n *node) put(s Step) bool {
	w, st := n.w, &n.w.store
	cas := func(rev *int64) bool {
		if s.Expect != *rev {
			return false
		}
		w.rev++
		*rev = w.rev
		return true
	}
	switch s.Kind {
	case StepPutLease:
		if !cas(&st.LeaseRevision) {
			return false
		}
		if s.Lease.Term < st.Lease.Term {
			w.t.Fatalf("%s took the term back from %d to %d", n.name, st.Lease.Term, s.Lease.Term)
		}
		st.Lease = *s.Lease
		n.known.Lease, n.known.LeaseRevision, n.leaseAt = st.Lease, st.LeaseRevision, w.now
		if s.Lease.Holder == n.name && !s.Lease.Released {
			n.renewed, n.renewedAt = s.Lease.Term, w.now
			ttl := w.store.Spec.Lease
			n.warden.Deadline, n.warden.Term = w.now.Add(ttl.TTL.D()-ttl.Margin.D()), s.Lease.Term
		}
	case StepPutCluster:
		if !cas(&st.ClusterRevision) {
			return false
		}
		st.Cluster = *s.Cluster
	case StepPutOperation:
		if !cas(&st.OperationRevision) {
			return false
		}
		st.Operation = s.Operation
	case StepPutRequest:
		w.node(s.Member).requests = s.Request
	case StepEndRequest:
		n.requests = nil
	}
	return true
}

func (n *node) start(s Step) bool {
	if !n.warden.Empty || n.data.State != DataPresent || !s.Standby && n.warden.Deadline <= n.w.now {
		return false
	}
	n.state, n.standby = StateStarting, s.Standby
	n.warden.Empty, n.warden.Fenced = false, false
	if s.Standby {
		n.warden.Deadline = 0
	}
	return true
}

// promote begins the timeline that the lease reserved.
func (n *node) promote(tl wal.Timeline) {
	if tl <= n.tl {
		n.w.t.Fatalf("%s is to be promoted from timeline %d to %d\n%s", n.name, n.tl, tl, n.w.dump())
	}
	n.history = append(slices.Clone(n.history), wal.Switch{Timeline: n.tl, LSN: n.end()})
	n.tl = tl
	n.primary, n.control, n.ckptTL = true, "in production", n.tl
	n.promoted()
	n.write(rec{tl: n.tl})
}

func (n *node) finishJob() {
	if !n.job.Running || n.noJobs {
		return
	}
	s := n.jobStep
	n.job.Running, n.job.EndedAt = false, n.w.now
	switch s.Kind {
	case StepInit:
		n.w.inits++
		n.data, n.tl, n.ckptTL, n.control = Data{State: DataPresent, ClusterID: "id", SystemID: "7"}, 1, 1, "shut down"
	case StepClone, StepRewind:
		p := n.w.node(s.Member)
		if p.cut || n.cut || !p.primary {
			n.job.Err = "the source does not answer"
			return
		}
		n.data = p.data
		n.wal, n.tl, n.history, n.ckptTL = slices.Clone(p.wal), p.tl, p.history, p.ckptTL
		n.control = "in production" // copied with everything else
		if s.Kind == StepRewind {
			n.control = "in archive recovery"
		}
	}
}

// The faults.

func (n *node) killPostmaster() { n.kill("signal: killed") }

func (n *node) killAgent() { n.up, n.mem, n.report = false, Memory{}, Report{} }

func (n *node) startAgent() {
	n.up, n.stopping, n.confKey, n.known, n.renewed, n.opID = true, false, "", StoreView{}, 0, ""
	if n.job.Running {
		n.job = Job{}
	}
	n.warden.Alive = true
}

// killMember is a power cut: nothing of the member is left but its disk.
func (n *node) killMember() {
	n.killAgent()
	n.kill("")
	n.job = Job{}
	n.warden = Warden{Empty: true, Alive: true}
}
