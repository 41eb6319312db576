package top

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
)

// Size is a terminal's. Plain: no colours.
type Size struct {
	Width, Height int
	Plain         bool
}

type style string

const (
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	dim    style = "2"
)

// part is text in a style.
type part struct {
	text  string
	style style
}

type line []part

func text(format string, args ...any) line { return line{{fmt.Sprintf(format, args...), ""}} }

// Lines draws it, no line wider and no more of them than the terminal has room for.
func (m *Model) Lines(size Size, now time.Time) []string {
	var all []line
	if m.status.Cluster == "" {
		all = append(all, text("nothing is told yet"))
	} else {
		all = m.cluster(now)
	}
	if m.trouble != "" {
		all = append(all, line{{m.trouble, red}})
	}
	room := size.Height - len(all) - 2
	if room > 0 && len(m.events) > 0 {
		all = append(all, nil)
		all = append(all, m.newest(room)...)
	}
	all = all[:max(0, min(len(all), size.Height-1))]
	all = append(all, line{{"q: quit", dim}})
	drawn := make([]string, 0, len(all))
	for _, l := range all {
		drawn = append(drawn, l.draw(size))
	}
	return drawn
}

// draw cuts the line to the width, and keeps others' words from steering the terminal.
func (l line) draw(size Size) string {
	var out strings.Builder
	left := size.Width
	for _, p := range l {
		shown := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(p.text, "?"))
		if n := utf8.RuneCountInString(shown); n > left {
			shown = string([]rune(shown)[:left])
		}
		left -= utf8.RuneCountInString(shown)
		if p.style != "" && !size.Plain && shown != "" {
			shown = "\x1b[" + string(p.style) + "m" + shown + "\x1b[0m"
		}
		out.WriteString(shown)
	}
	return out.String()
}

func (m *Model) cluster(now time.Time) []line {
	s := &m.status
	head := line{{"cluster " + s.Cluster, bold}, {fmt.Sprintf(", term %d, %s", s.Term, commits(s)), ""}, {"  " + now.UTC().Format("15:04:05 UTC"), dim}}
	if s.Paused {
		head = append(head, part{"  PAUSED", yellow})
	}
	all := []line{head, nil}
	all = append(all, m.members()...)
	if len(s.Endpoints) > 0 {
		all = append(all, nil)
		all = append(all, endpoints(s.Endpoints)...)
	}
	if op := s.Operation; op != nil {
		all = append(all, nil, line{{fmt.Sprintf("%s under way: %s, for %s", op.Kind, op.Phase, now.Sub(m.begun).Round(100*time.Millisecond)), bold}})
	}
	return append(append(all, nil), conditions(s)...)
}

func commits(s *api.ClusterStatus) string {
	leader := "nobody"
	for _, o := range s.Members {
		if o.Role == api.RolePrimary {
			leader = o.Name
		}
	}
	if len(s.Sync.Members) == 0 {
		return "commits are kept on " + leader + " only"
	}
	return fmt.Sprintf("commits are kept on %s and %d of %s", leader, s.Sync.K, strings.Join(s.Sync.Members, ", "))
}

// members draws who follows whom: a primary, its standbys below it, and then who follows nobody.
func (m *Model) members() (all []line) {
	drawn := map[string]bool{}
	var below func(o api.MemberStatus, first, rest string)
	below = func(o api.MemberStatus, first, rest string) {
		drawn[o.Name] = true
		all = append(all, m.member(o, first))
		var followers []api.MemberStatus
		for _, f := range m.status.Members {
			if f.Follows == o.Name && !drawn[f.Name] {
				followers = append(followers, f)
			}
		}
		for i, f := range followers {
			if i == len(followers)-1 {
				below(f, rest+"└─ ", rest+"   ")
			} else {
				below(f, rest+"├─ ", rest+"│  ")
			}
		}
	}
	for _, leads := range []bool{true, false} {
		for _, o := range m.status.Members {
			if !drawn[o.Name] && (o.Role == api.RolePrimary || !leads) {
				below(o, "", "")
			}
		}
	}
	return all
}

func (m *Model) member(o api.MemberStatus, tree string) line {
	look := green
	switch {
	case o.State == api.StateUnreachable || o.State == api.StateStopped:
		look = red
	case o.Role != api.RoleWitness && o.State != api.StateRunning && o.State != api.StateStreaming:
		look = yellow
	}
	name := line{{fmt.Sprintf("%-16s", tree+o.Name), bold}, {fmt.Sprintf("%-8s ", o.Role), ""}, {fmt.Sprintf("%-12s", o.State), look}}
	facts := []string{}
	if o.Progress != "" {
		facts = append(facts, o.Progress)
	}
	if slices.Contains(m.status.Sync.Members, o.Name) {
		facts = append(facts, "commits wait for it")
	}
	if o.LagBytes != nil && o.Role == api.RoleStandby {
		facts = append(facts, Bytes(float64(*o.LagBytes))+" behind")
	}
	if o.Role == api.RolePrimary && len(m.rates) > 0 {
		facts = append(facts, fmt.Sprintf("%s %s/s of WAL", spark(m.rates), Bytes(m.rates[len(m.rates)-1])))
	}
	if o.CommitMS > 0 {
		facts = append(facts, fmt.Sprintf("a commit takes %.1f ms", o.CommitMS))
	}
	if o.SessionsMax > 0 {
		facts = append(facts, fmt.Sprintf("%d of %d sessions", o.Sessions, o.SessionsMax))
	}
	if o.Drained {
		facts = append(facts, "drained")
	}
	if len(o.Pending) > 0 {
		facts = append(facts, "a restart is pending")
	}
	return append(name, part{" " + strings.Join(facts, "   "), ""})
}

var bars = []rune("▁▂▃▄▅▆▇█")

// spark draws values against the greatest of them.
func spark(values []float64) string {
	top := max(slices.Max(values), 1)
	drawn := make([]rune, len(values))
	for i, v := range values {
		drawn[i] = bars[min(int(v/top*float64(len(bars))), len(bars)-1)]
	}
	return string(drawn)
}

// Bytes writes a size for people: 0 B, 512 B, 1.5 MB.
func Bytes(n float64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%.0f B", n)
	}
	units := "kMGTPE"
	i := -1
	for n >= step && i < len(units)-1 {
		n, i = n/step, i+1
	}
	return fmt.Sprintf("%.1f %cB", n, units[i])
}

func endpoints(list []api.EndpointStatus) (all []line) {
	for _, e := range list {
		target, readers := e.Target, strings.Join(e.Readers, ", ")
		wait := style("")
		if target == "" {
			target, wait = "(clients wait)", yellow
		}
		if readers == "" {
			readers = "(clients wait)"
		}
		l := line{{fmt.Sprintf("endpoint %-12s ", e.Name), ""}, {"writes to " + target, wait}, {fmt.Sprintf(", reads from %s, %d clients", readers, e.Clients), ""}}
		if e.Text != "" {
			l = append(l, part{"  " + e.Text, yellow})
		}
		all = append(all, l)
	}
	return all
}

func conditions(s *api.ClusterStatus) (all []line) {
	tell := func(of string, list []peer.Condition) {
		for _, c := range list {
			look := style("")
			switch c.Severity {
			case core.Error:
				look = red
			case core.Warning:
				look = yellow
			}
			all = append(all, line{{of + string(c.Code) + ": ", look}, {c.Text, ""}})
			if c.Hint != "" {
				all = append(all, line{{"  hint: " + c.Hint, dim}})
			}
		}
	}
	tell("", s.Conditions)
	for _, o := range s.Members {
		tell(o.Name+": ", o.Conditions)
	}
	if len(all) == 0 {
		all = append(all, line{{"nothing needs attention", green}})
	}
	return all
}

func (m *Model) newest(room int) (all []line) {
	for _, e := range m.events[max(0, len(m.events)-room):] {
		look := style("")
		switch e.Severity {
		case core.Error:
			look = red
		case core.Warning:
			look = yellow
		}
		all = append(all, line{{e.At.UTC().Format("15:04:05") + " ", dim}, {fmt.Sprintf("%-10s ", e.Member), ""}, {e.Code + ": ", look}, {e.Text, ""}})
	}
	return all
}
