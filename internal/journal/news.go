package journal

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// renewal says that the step only keeps the lease as it is: it happens each second.
func renewal(s core.Step, v core.View) bool {
	was := v.Store.Lease
	return s.Kind == core.StepPutLease && s.Lease != nil &&
		s.Lease.Holder == was.Holder && s.Lease.Term == was.Term && s.Lease.Released == was.Released &&
		sameSync(s.Lease.Sync, was.Sync)
}

// news says that the entry has an effect or a failure, beyond renewing the lease.
func news(e Entry) bool {
	if e.Outcome != "" {
		return true
	}
	for _, s := range e.Plan.Steps {
		if !renewal(s, e.View) {
			return true
		}
	}
	return false
}

// Numbers, positions and durations: what changes from tick to tick while the
// matter stays the same. The 2 of n2 is none of them.
var changing = regexp.MustCompile(`\b[0-9A-F]+/[0-9A-F]+\b|\b\d[\w.:]*`)

func steady(text string) string {
	if text == "" {
		return ""
	}
	return changing.ReplaceAllString(text, "#")
}

// signature is equal for entries that say the same.
func signature(e Entry) string {
	var b strings.Builder
	part := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
			b.WriteByte(0)
		}
		b.WriteByte('\n')
	}
	part(e.Report.Role, strconv.FormatUint(e.Report.Term, 10), steady(e.Outcome))
	for _, s := range e.Plan.Steps {
		if renewal(s, e.View) {
			continue
		}
		part("step", string(s.Kind), s.Member, s.Slot, string(s.Why.Code), steady(s.Why.Text))
	}
	for _, r := range e.Report.Reasons {
		part("reason", string(r.Code), steady(r.Text))
	}
	for _, c := range e.Report.Conditions {
		part("condition", string(c.Code), steady(c.Text))
	}
	return b.String()
}

// Redacted stands for the value of a parameter that may hold a secret.
const Redacted = "(not kept in the journal)"

// redact takes out the values that may hold a secret: commands, which people write
// access keys into. The rest of a view holds none by design.
func redact(e Entry) Entry {
	e.View.Local.Good = redactParameters(e.View.Local.Good)
	e.View.Store.Spec.Postgres.Parameters = redactParameters(e.View.Store.Spec.Postgres.Parameters)
	steps := make([]core.Step, len(e.Plan.Steps))
	for i, s := range e.Plan.Steps {
		if s.Conf != nil {
			conf := *s.Conf
			conf.Params = redactParameters(conf.Params)
			s.Conf = &conf
		}
		steps[i] = s
	}
	e.Plan.Steps = steps
	e.View.Local.ConfKey = "" // the same parameters once more
	return e
}

func redactParameters(parameters map[string]string) map[string]string {
	if len(parameters) == 0 {
		return parameters
	}
	clean := make(map[string]string, len(parameters))
	for name, value := range parameters {
		if spec.MayHoldSecret(name) {
			value = Redacted
		}
		clean[name] = value
	}
	return clean
}
