package sim

import (
	"fmt"
	"io"
)

// Tell makes a run of a seed and tells its story.
func Tell(out io.Writer, seed uint64, p Pinned) Result {
	o, faults := Draw(seed, p)
	return TellOf(out, seed, o, faults)
}

// TellOf tells the story of given options and faults.
func TellOf(out io.Writer, seed uint64, o Options, faults []Fault) Result {
	fmt.Fprintf(out, "seed %d\n%s", seed, o)
	for _, f := range faults {
		fmt.Fprintln(out, "  ", f)
	}
	r := RunWith(seed, o, faults, &story{out: out})
	for _, v := range r.Broken {
		fmt.Fprintf(out, "%11.6f  broken: %s\n", r.At.Seconds(), v)
	}
	if len(r.Broken) == 0 {
		fmt.Fprintf(out, "%d events, %d commits acknowledged, term %d, whole %s after the last fault; no invariant is broken\n", r.Events, r.Acked, r.Terms, r.WholeIn)
	}
	return r
}

// Minimise drops faults from a broken run, halves first, then one by one, while it still
// breaks the same invariant. Dropping one changes all later chances, so the shortest that is
// found need not be the shortest there is.
func Minimise(r Result) Result {
	for size := max(1, len(r.Faults)/2); ; size = max(1, size/2) {
		shrunk := false
		for from := 0; from < len(r.Faults); {
			faults := append(append([]Fault{}, r.Faults[:from]...), r.Faults[min(from+size, len(r.Faults)):]...)
			try := RunWith(r.Seed, r.Options, faults, nil)
			if len(try.Broken) > 0 && try.Broken[0].ID == r.Broken[0].ID {
				r, shrunk = try, true
			} else {
				from += size
			}
		}
		if size == 1 && !shrunk {
			return r
		}
	}
}
