package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/wal"
)

func (s *Server) getMember(*http.Request, string) (any, error) { return s.b.Status(), nil }

func (s *Server) getStatus(r *http.Request, _ string) (any, error) {
	v, err := s.readAnyway(r.Context())
	status := s.statusOf(v)
	if err != nil {
		status.Conditions = withStoreCondition(status.Conditions, err)
	}
	if status.ID == "" {
		status.ID = s.clusterID
	}
	return status, nil
}

func (s *Server) getExplain(r *http.Request, _ string) (any, error) {
	v, _ := s.readAnyway(r.Context()) // without the store each member still explains itself
	known := s.b.Members()
	if len(v.Members) == 0 {
		v.Members = heard(known) // the store was never read: who is heard is all there is
	}
	only := r.URL.Query().Get("member")
	if _, err := member(v, only); only != "" && err != nil {
		return nil, err
	}
	explanations := []Explanation{}
	for _, m := range buildStatus(v, known).Members {
		if only == "" || m.Name == only {
			explanations = append(explanations, Explanation{m.Name, m.Role, m.State, m.State == StateUnreachable, known[m.Name].Decision})
		}
	}
	return explanations, nil
}

// heard makes records of those that answered, this member included.
func heard(known map[string]peer.Status) (list []core.MemberRecord) {
	for _, name := range slices.Sorted(maps.Keys(known)) {
		list = append(list, core.MemberRecord{Name: name})
	}
	return list
}

// statusOf is what this member tells of the cluster now.
func (s *Server) statusOf(v core.StoreView) ClusterStatus {
	status := buildStatus(v, s.b.Members())
	status.At = s.b.Now().UTC()
	voters := s.voters(v)
	for i, m := range status.Members {
		status.Members[i].Voter = slices.Contains(voters, m.Name)
	}
	return status
}

// voters are those of the embedded store; none where the store is an external one.
func (s *Server) voters(v core.StoreView) []string {
	if s.b.StoreEndpoints != nil && len(s.b.StoreEndpoints()) > 0 {
		return nil
	}
	if s.b.Voting == nil {
		return core.Voters(v.Members)
	}
	names, _ := s.b.Voting()
	return names
}

// notVoting are those who are to vote in the store and do not yet.
func (s *Server) notVoting(v core.StoreView) []string {
	if s.b.Voting == nil {
		return nil
	}
	names, _ := s.b.Voting()
	return core.NotVoting(v.Members, names)
}

// buildStatus puts the records and the members' own words together.
func buildStatus(v core.StoreView, known map[string]peer.Status) ClusterStatus {
	status := ClusterStatus{
		Cluster: v.Cluster.Name, ID: v.Cluster.ID, Term: v.Lease.Term,
		Members: []MemberStatus{}, Conditions: []peer.Condition{}, Sync: v.Lease.Sync, Paused: v.Paused,
	}
	if v.Operation.Active() {
		status.Operation = v.Operation
	} else {
		status.Last = v.Operation
	}
	newest := max(v.Lease.LSN, known[leader(v)].Instance.WriteLSN)
	for _, m := range v.Members {
		status.Members = append(status.Members, buildMember(v, m, known, newest))
	}
	status.Conditions = clusterConditions(v, known)
	status.Endpoints = endpoints(v, known)
	return status
}

func endpoints(v core.StoreView, known map[string]peer.Status) (list []EndpointStatus) {
	for _, p := range v.Poolers {
		e := EndpointStatus{p.Name, p.Address, p.RWPort, p.ROPort, p.Target, append([]string{}, p.Readers...), p.Clients, p.Version, p.Text}
		member := slices.ContainsFunc(v.Members, func(m core.MemberRecord) bool { return m.Name == p.Name })
		if _, heard := known[p.Name]; member && !heard { // what it told may be long past
			e.Text = "its host does not answer"
		}
		list = append(list, e)
	}
	return list
}

func buildMember(v core.StoreView, m core.MemberRecord, known map[string]peer.Status, newest wal.LSN) MemberStatus {
	said, ok := known[m.Name]
	out := MemberStatus{
		Name: m.Name, Role: role(v, m), State: StateUnreachable,
		Address: m.Address, Port: m.PGPort, Conditions: []peer.Condition{}, Drained: slices.Contains(v.Drained, m.Name),
		API: hostport(m.Address, m.APIPort),
	}
	if !ok {
		return out
	}
	out.State = state(out.Role, said)
	out.PostgresPID = said.PostgresPID
	i := said.Instance
	out.Sessions, out.SessionsMax, out.Pending = i.Sessions, i.SessionsMax, i.Pending
	if i.Standby() {
		out.Follows = i.Follows
	}
	if i.Primary {
		out.CommitMS = said.CommitMS
	}
	if j := said.Job; j.Running && (out.State == StateCloning || out.State == StateRewinding) {
		out.Progress = strings.TrimSpace(fmt.Sprintf("%d %% %s", j.Percent, j.Text))
	}
	if p := said.Instance.Position(); !m.Witness {
		out.Timeline, out.LSN = p.Timeline, p.LSN
		if p.LSN != 0 && newest != 0 {
			lag := newest.Sub(p.LSN)
			out.LagBytes = &lag
		}
	}
	for _, c := range said.Decision.Conditions {
		if !slices.Contains(clusterWide, c.Code) {
			out.Conditions = append(out.Conditions, c)
		}
	}
	return out
}

func role(v core.StoreView, m core.MemberRecord) string {
	switch {
	case m.Witness:
		return RoleWitness
	case leader(v) == m.Name:
		return RolePrimary
	}
	return RoleStandby
}

func state(role string, said peer.Status) string {
	if role == RoleWitness {
		return StateRunning
	}
	if said.Job.Running {
		switch core.StepKind(said.Job.Kind) {
		case core.StepClone:
			return StateCloning
		case core.StepRewind:
			return StateRewinding
		case core.StepInit:
			return StateStarting
		}
	}
	switch said.Instance.State {
	case core.StateRunning:
		switch {
		case role == RolePrimary && !said.Instance.Primary:
			return StateStarting // it holds the lease and is being promoted
		case said.Instance.Standby() && said.Instance.Streaming:
			return StateStreaming
		}
		return StateRunning
	case core.StateStarting:
		return StateStarting
	case core.StateUnknown: // its agent answers, PostgreSQL does not; the condition says so
		return StateUnreachable
	}
	return StateStopped
}

// clusterWide are the conditions of the cluster rather than of one member.
var clusterWide = []core.Code{core.CondNoLeader, core.CondNoQuorum, core.CondMemberDown, core.CondDegraded, core.CondStalled, core.CondHeld, core.CondPaused, core.CondTwoPrimaries, core.CondStoreLost, core.CondVotesMissing, core.CondCommitsLost}

// clusterConditions collects them from all members, each once, with its earliest
// start. Who is unreachable is judged here, from what this member heard.
func clusterConditions(v core.StoreView, known map[string]peer.Status) []peer.Condition {
	list := []peer.Condition{}
	for _, m := range v.Members {
		for _, c := range known[m.Name].Decision.Conditions {
			if c.Code != core.CondMemberDown && slices.Contains(clusterWide, c.Code) {
				list = addCondition(list, c)
			}
		}
	}
	for _, m := range v.Members {
		if _, ok := known[m.Name]; !ok {
			list = append(list, memberDown(m.Name, known))
		}
	}
	return list
}

func addCondition(list []peer.Condition, c peer.Condition) []peer.Condition {
	i := slices.IndexFunc(list, func(have peer.Condition) bool { return have.Code == c.Code })
	if i < 0 {
		return append(list, c)
	}
	if c.Since != "" && c.Since < list[i].Since {
		list[i] = c
	}
	return list
}

// memberDown prefers what a member said about it, because that one knows since when.
func memberDown(name string, known map[string]peer.Status) peer.Condition {
	for _, said := range known {
		for _, c := range said.Decision.Conditions {
			if c.Code == core.CondMemberDown && strings.HasPrefix(c.Text, name+" ") {
				return c
			}
		}
	}
	return condition(core.CondMemberDown, name+" does not answer")
}

func withStoreCondition(list []peer.Condition, err error) []peer.Condition {
	return addCondition(list, condition(core.CondNoQuorum, err.Error()))
}

func condition(code core.Code, text string) peer.Condition {
	severity, hint, _ := core.Catalogued(code)
	return peer.Condition{Code: code, Severity: severity, Text: text, Hint: hint}
}
