package whatif

import (
	"fmt"
	"slices"
	"strings"
)

// Kinds of faults.
const (
	Down     = "down"     // a member's machine is gone
	Postgres = "postgres" // a member's PostgreSQL is killed; its agent lives
	Cut      = "cut"      // a member hears nobody and nobody hears it; or a link, "n1-n2=cut"
)

// Store names the store as a whole: "store=down".
const Store = "store"

// Fault is one thing that fails.
type Fault struct {
	What string // a member, two members joined by "-", or Store
	Kind string
}

// Parse reads "n1=down", "n1=postgres", "n1=cut", "n1-n2=cut", "store=down", or several of them with commas. members are the
// cluster's; an error says what is wrong with the text.
func Parse(text string, members []string) ([]Fault, error) {
	var faults []Fault
	for part := range strings.SplitSeq(text, ",") {
		what, kind, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || what == "" {
			return nil, fmt.Errorf("%q: want WHAT=KIND, such as %s=down", part, members[0])
		}
		f := Fault{what, kind}
		if err := f.check(members); err != nil {
			return nil, err
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func (f Fault) check(members []string) error {
	switch a, b, link := f.link(members); {
	case f.What == Store:
		if f.Kind != Down {
			return fmt.Errorf("store=%s: want store=down", f.Kind)
		}
	case link && (f.Kind != Cut || a == b):
		return fmt.Errorf("%s=%s: a link between two members can be cut", f.What, f.Kind)
	case !link && !slices.Contains(members, f.What):
		return fmt.Errorf("no member is called %q; there are %s", f.What, strings.Join(members, ", "))
	case !slices.Contains([]string{Down, Postgres, Cut}, f.Kind):
		return fmt.Errorf("%s=%s: want down, postgres or cut", f.What, f.Kind)
	}
	return nil
}

// link reads "a-b". Names may hold a "-" themselves, so both sides must be members.
func (f Fault) link(members []string) (a, b string, ok bool) {
	if slices.Contains(members, f.What) {
		return "", "", false
	}
	for i, r := range f.What {
		if r == '-' && slices.Contains(members, f.What[:i]) && slices.Contains(members, f.What[i+1:]) {
			return f.What[:i], f.What[i+1:], true
		}
	}
	return "", "", false
}

// String gives the fault as it is written.
func (f Fault) String() string { return f.What + "=" + f.Kind }
