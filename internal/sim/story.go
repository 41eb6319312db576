package sim

import (
	"fmt"
	"io"
	"time"

	"github.com/pgherd/pgherd/internal/invariant"
)

// story tells a run, one line per event in columns of fixed width.
type story struct {
	out  io.Writer
	last string
	same int
	said [len(memberNames)]string // a member's last reasons: told when they change
}

func (s *story) line(at time.Duration, n *node, code, text string) {
	who := "-"
	if n != nil {
		who = n.name
	}
	if line := fmt.Sprintf("%-3s  %-9s  %s", who, code, text); line != s.last {
		if s.same > 0 {
			fmt.Fprintf(s.out, "%11s  ... %d times more\n", "", s.same)
		}
		fmt.Fprintf(s.out, "%11.6f  %s\n", at.Seconds(), line)
		s.last, s.same = line, 0
		return
	}
	s.same++
}

// decision tells what a member says of its decision, when that is news.
func (s *story) decision(at time.Duration, n *node, d invariant.Decision) {
	text := ""
	for _, r := range d.Report.Reasons {
		text += "; " + r.String()
	}
	for _, c := range d.Report.Conditions {
		text += "; [" + string(c.Code) + "] " + c.Text
	}
	if text != "" && text != s.said[n.i] {
		s.line(at, n, "says", text[2:])
	}
	s.said[n.i] = text
}
