package api

import (
	"net/http"
	"slices"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/spec"
)

// States of the database as an application sees it.
const (
	EndpointsAbsent    = "absent"    // there is no database yet
	EndpointsStarting  = "starting"  // nobody accepts writes
	EndpointsReady     = "ready"     // a primary accepts writes
	EndpointsSwitching = "switching" // a planned switchover: writes are accepted again in a moment
	EndpointsDegraded  = "degraded"  // a primary accepts writes, and fewer standbys than the spec asks for have them
)

// Endpoints answers GET /v1/endpoints and is what each event of the watch carries: where the database
// is to be reached. Its shape is a promise to programs: fields are added, never renamed.
type Endpoints struct {
	Cluster  string           `json:"cluster"`
	ID       string           `json:"id"`
	SystemID string           `json:"system_id,omitempty"` // PostgreSQL's
	Epoch    uint64           `json:"epoch"`               // the lease's term: grows with each change of leadership
	State    string           `json:"state"`
	Durable  bool             `json:"durable"` // commits are kept on as many standbys as the spec asks for, or as there are; true where it asks for none
	RW       *Endpoint        `json:"rw"`      // null: nobody accepts writes
	RO       []Endpoint       `json:"ro"`      // standbys that accept reads
	Poolers  []PoolerEndpoint `json:"poolers"` // each accepts both
	Members  []EndpointMember `json:"members"` // all of them, with what they do

	// NotVoting are the members that are to vote in the embedded store and do not yet: until they do, the loss of one that does may stop the cluster.
	NotVoting []string `json:"not_voting,omitempty"`
}

// Endpoint is one member's PostgreSQL.
type Endpoint struct {
	Member   string `json:"member"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	LagBytes *int64 `json:"lag_bytes,omitempty"` // of a standby; absent: not known
}

// PoolerEndpoint is one pair of a pooler's ports.
type PoolerEndpoint struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	RWPort  int    `json:"rw_port"`
	ROPort  int    `json:"ro_port"`
	Target  string `json:"target,omitempty"` // the member that writes go to; empty: clients are held
}

// EndpointMember is a member's part: see MemberStatus.
type EndpointMember struct {
	Name  string `json:"name"`
	Role  string `json:"role"`
	State string `json:"state"`
}

func (s *Server) getEndpoints(r *http.Request, _ string) (any, error) {
	v, _ := s.readAnyway(r.Context()) // where members are is asked for most while the store is silent
	e := buildEndpoints(v, s.b.Members())
	e.NotVoting = s.notVoting(v)
	return e, nil
}

// seen is what the loop saw, as the loop's peers told it.
func seen(e journal.Entry) Endpoints {
	known := map[string]peer.Status{e.View.Self: {Name: e.View.Self, Instance: e.View.Local.Instance, Job: e.View.Local.Job, Decision: peer.Decision{Conditions: raised(e)}}}
	for _, p := range e.View.Peers {
		if p.Known && p.Err == "" {
			known[p.Name] = peer.Status{Name: p.Name, Instance: p.Instance, Job: p.Job}
		}
	}
	return buildEndpoints(e.View.Store, known)
}

func raised(e journal.Entry) (list []peer.Condition) {
	for _, c := range e.Report.Conditions {
		list = append(list, peer.Condition{Code: c.Code})
	}
	return list
}

func buildEndpoints(v core.StoreView, known map[string]peer.Status) Endpoints {
	status := buildStatus(v, known)
	out := Endpoints{
		Cluster: v.Cluster.Name, ID: v.Cluster.ID, SystemID: v.Cluster.SystemID, Epoch: v.Lease.Term,
		RO: []Endpoint{}, Poolers: []PoolerEndpoint{}, Members: []EndpointMember{},
	}
	for _, m := range status.Members {
		out.Members = append(out.Members, EndpointMember{m.Name, m.Role, m.State})
		e := Endpoint{Member: m.Name, Address: m.Address, Port: m.Port}
		switch {
		case m.Role == RolePrimary && m.State == StateRunning:
			out.RW = &e
		case m.Role == RoleStandby && known[m.Name].Instance.Standby() && m.State != StateUnreachable:
			e.LagBytes = m.LagBytes
			out.RO = append(out.RO, e)
		}
	}
	for _, p := range v.Poolers {
		if p.RWPort != 0 {
			out.Poolers = append(out.Poolers, PoolerEndpoint{p.Name, p.Address, p.RWPort, p.ROPort, p.Target})
		}
	}
	out.Durable = durable(v)
	out.State = endpointsState(v, out, status.Conditions)
	return out
}

func endpointsState(v core.StoreView, e Endpoints, conditions []peer.Condition) string {
	switch {
	case handingOver(v.Operation) && (e.RW == nil || e.RW.Member == v.Operation.From):
		return EndpointsSwitching
	case e.RW == nil && v.Cluster.SystemID == "":
		return EndpointsAbsent
	case e.RW == nil:
		return EndpointsStarting
	case slices.ContainsFunc(conditions, func(c peer.Condition) bool { return c.Code == core.CondDegraded }):
		return EndpointsDegraded
	}
	return EndpointsReady
}

// durable goes by what the lease promises, and not by the condition sync_degraded, which waits a while before it is raised.
func durable(v core.StoreView) bool {
	return v.Spec.Durability != spec.DurabilitySync || v.Lease.Sync.K >= min(v.Spec.SyncStandbys, len(v.Confirming(v.Lease.Holder)))
}

// handingOver: from here on until its end no transaction should begin at the old primary.
func handingOver(op *core.Operation) bool {
	return op.Active() && op.Kind == core.OpSwitchover && (op.Phase == core.PhaseHolding || op.Phase == core.PhaseStopping)
}
