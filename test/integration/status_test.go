package integration

import (
	"encoding/json"
	"fmt"
	"strings"
)

// status is `pgherd status --json` as scripts see it.
type status struct {
	Cluster    string
	ID         string
	Term       uint64
	Members    []memberStatus
	Conditions []condition
	Endpoints  []endpointStatus
	Paused     bool
	Sync       struct {
		Members []string
		K       int
	}
}

type endpointStatus struct {
	Name, Target, Text string
	Readers            []string
	Clients            int
}

type memberStatus struct {
	Name, Role, State, LSN, Address string
	Follows, Progress               string
	Voter, Drained                  bool
	Timeline                        uint64
	LagBytes                        *int64 `json:"lag_bytes"`
	Port                            int
	PostgresPID                     int `json:"postgres_pid"`
	Conditions                      []condition
}

type condition struct{ Code, Severity, Text, Hint, Since string }

func (s status) primary() string {
	for _, m := range s.Members {
		if m.Role == "primary" && m.State == "running" {
			return m.Name
		}
	}
	return ""
}

func (s status) member(name string) memberStatus {
	for _, m := range s.Members {
		if m.Name == name {
			return m
		}
	}
	return memberStatus{}
}

func (s status) String() string {
	words := make([]string, 0, len(s.Members))
	for _, m := range s.Members {
		words = append(words, m.Name+" "+m.Role+" "+m.State)
	}
	return fmt.Sprintf("term %d: %s", s.Term, strings.Join(words, ", "))
}

// status asks one member; ok is false when it does not answer.
func (m *member) status() (s status, ok bool) {
	a := m.c.pgherd("status", "--json", "--config", m.config)
	return s, json.Unmarshal([]byte(a.stdout), &s) == nil && len(s.Members) > 0
}

// status asks the first member that answers.
func (c *cluster) status() (s status) {
	for _, m := range c.members {
		if m.running() {
			if s, ok := m.status(); ok {
				return s
			}
		}
	}
	return s
}

func (m *member) running() bool {
	if m.agent == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}
