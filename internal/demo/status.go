package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
)

// Status is what `pgherd status --json` answers.
type Status struct {
	Cluster    string         `json:"cluster"`
	ID         string         `json:"id"`
	Term       uint64         `json:"term"`
	Members    []StatusMember `json:"members"`
	Conditions []Condition    `json:"conditions"`
}

// StatusMember is one member in it.
type StatusMember struct {
	Name        string      `json:"name"`
	Role        string      `json:"role"`
	State       string      `json:"state"`
	Timeline    uint64      `json:"timeline"`
	LagBytes    int64       `json:"lag_bytes"`
	Port        int         `json:"port"`
	PostgresPID int         `json:"postgres_pid"`
	Voter       bool        `json:"voter"`
	Conditions  []Condition `json:"conditions"`
}

// Condition is one entry of its health.
type Condition struct {
	Code     string `json:"code"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
}

// Primary gives the running primary's name, or "" when there is none or more than one.
func (s Status) Primary() (name string) {
	for _, m := range s.Members {
		if m.Role == "primary" && m.State == "running" {
			if name != "" {
				return ""
			}
			name = m.Name
		}
	}
	return name
}

// Healthy says whether n members are there: one primary, the others streaming from it, and those who are to vote in the store
// vote. Before that the loss of one could stop the others.
func (s Status) Healthy(n int) bool {
	if s.Primary() == "" || len(s.Members) != n {
		return false
	}
	votes := 0
	for _, m := range s.Members {
		if m.Voter {
			votes++
		}
		if m.Name != s.Primary() && (m.Role != "standby" || m.State != "streaming") {
			return false
		}
	}
	return votes == min(n, core.VotersMax)
}

// Member gives one member's entry; its zero value when there is none.
func (s Status) Member(name string) StatusMember {
	for _, m := range s.Members {
		if m.Name == name {
			return m
		}
	}
	return StatusMember{}
}

// String is one line: n1 primary, n2 streaming, n3 cloning.
func (s Status) String() string {
	words := make([]string, len(s.Members))
	for i, m := range s.Members {
		words[i] = m.Name + " " + m.word()
	}
	return strings.Join(words, ", ")
}

func (m StatusMember) word() string {
	switch {
	case m.Role == "primary" && m.State == "running":
		return "primary"
	case m.Role == "primary":
		return "primary " + m.State
	}
	return m.State
}

// Status asks the members that should be up, one after the other, until one answers.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	err := errors.New("no member runs")
	for _, m := range c.members {
		if !m.wanted() {
			continue
		}
		var s Status
		if s, err = c.statusFrom(ctx, m); err == nil {
			return s, nil
		}
	}
	return Status{}, err
}

func (c *Cluster) statusFrom(ctx context.Context, m *member) (s Status, err error) {
	out, err := c.pgherd(ctx, m, "status", "--json")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return s, fmt.Errorf("pgherd status --json of %s: %w", m.name, err)
	}
	return s, nil
}
