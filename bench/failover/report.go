package main

import (
	"fmt"
	"io"

	"github.com/pgherd/pgherd/bench/report"
)

// result is everything that was measured.
type result struct {
	report.Report
	Where []whereTime `json:"where_the_time_goes,omitempty"`
}

func (r *result) print(w io.Writer) {
	r.Print(w)
	for _, t := range r.Where {
		fmt.Fprintf(w, "\nwhere the time goes: %s (medians)\n", t.What)
		for _, p := range t.Phases {
			fmt.Fprintf(w, "  %-12s %7.3f s after the fault  %+7.3f s\n", p.Name, p.At, p.Since)
		}
	}
}
