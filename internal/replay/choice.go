package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
	"github.com/pgherd/pgherd/internal/journal"
)

// Choice is what of a decision has effects: the steps, and what other members act on.
type Choice struct {
	Steps    []core.Step  `json:"steps,omitempty"`
	Trusted  core.Instant `json:"trusted,omitempty"`
	Vacant   bool         `json:"vacant,omitempty"`
	Rejected bool         `json:"rejected,omitempty"`
}

// choice takes a decision through JSON, as the journal did with the recorded one: an empty
// list and none are the same there.
func choice(d invariant.Decision) (c Choice) {
	made := Choice{Steps: d.Plan.Steps, Trusted: d.Report.Trusted, Vacant: d.Report.Vacant, Rejected: d.Report.Rejected}
	if json.Unmarshal([]byte(compact(made)), &c) != nil {
		return made
	}
	return c
}

// key is equal for equal choices. Words are left out: a reason may be put better in a newer
// version and be the same reason. So is the value of a parameter that other has redacted.
func (c Choice) key(other Choice) string {
	steps := make([]core.Step, len(c.Steps))
	for i, s := range c.Steps {
		s.Why.Text = ""
		if i < len(other.Steps) {
			s.Conf = veiled(s.Conf, other.Steps[i].Conf)
		}
		steps[i] = s
	}
	c.Steps = steps
	return compact(c)
}

// veiled gives conf with those values redacted that other has redacted.
func veiled(conf, other *core.Conf) *core.Conf {
	if conf == nil || other == nil {
		return conf
	}
	copied := *conf
	copied.Params = maps.Clone(conf.Params)
	for name := range copied.Params {
		if other.Params[name] == journal.Redacted {
			copied.Params[name] = journal.Redacted
		}
	}
	return &copied
}

func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// String gives the kinds and reasons: "put_lease (renew), promote (promote)".
func (c Choice) String() string {
	var parts []string
	for _, s := range c.Steps {
		parts = append(parts, fmt.Sprintf("%s (%s)", s.Kind, s.Why.Code))
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing")
	}
	if c.Vacant {
		parts = append(parts, "calls the lease vacant")
	}
	if c.Rejected {
		parts = append(parts, "rejects the spec's parameters")
	}
	return strings.Join(parts, ", ")
}

// Texts gives both choices in words that differ where they do: where the kinds and reasons are
// the same, the fields of the first step that differs.
func (r Result) Texts() (recorded, decided string) {
	recorded, decided = r.Recorded.String(), r.Decided.String()
	if r.Same || recorded != decided {
		return recorded, decided
	}
	for i, s := range r.Recorded.Steps { // equal in number, since the words are equal
		a, b := s, r.Decided.Steps[i]
		a.Why.Text, b.Why.Text = "", ""
		b.Conf = veiled(b.Conf, a.Conf)
		if a, b := apart(a, b); a != b {
			return fmt.Sprintf("%s with %s", s.Kind, a), fmt.Sprintf("%s with %s", s.Kind, b)
		}
	}
	return fmt.Sprintf("trusted until %d", r.Recorded.Trusted), fmt.Sprintf("trusted until %d", r.Decided.Trusted)
}

// apart gives those fields of two steps that are not the same in both.
func apart(a, b core.Step) (string, string) {
	var inA, inB map[string]json.RawMessage
	_ = json.Unmarshal([]byte(compact(a)), &inA) // it was written a moment ago
	_ = json.Unmarshal([]byte(compact(b)), &inB)
	for name := range inA {
		if string(inA[name]) == string(inB[name]) {
			delete(inA, name)
			delete(inB, name)
		}
	}
	return compact(inA), compact(inB)
}
