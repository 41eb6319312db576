package catalogue

import (
	"fmt"
	"slices"
	"strings"
)

// Entry is one scenario. Several may share a number of the reference's list of 42.
type Entry struct {
	Number  int // 0: beyond that list
	Name    string
	Fault   string // what is done to the cluster
	Happens string // what pgherd does today
	Sees    string // what the operator sees; conditions in `backquotes`

	// Limit is what pgherd does not do yet, or what the laboratory cannot make here and
	// what stands in for it.
	Limit string

	CI bool // in the subset that runs for each change
}

// Entries are all scenarios, by number.
func Entries() (all []Entry) {
	for _, family := range [][]Entry{processes, network, store, disks, damage, operations, handovers} {
		all = append(all, family...)
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return place(a) - place(b) })
	return all
}

func place(e Entry) int {
	if e.Number == 0 {
		return 1000
	}
	return e.Number
}

// Names are the scenarios' names; only those of CI if so wanted.
func Names(onlyCI bool) (names []string) {
	for _, e := range Entries() {
		if e.CI || !onlyCI {
			names = append(names, e.Name)
		}
	}
	return names
}

// Begin and End enclose what Markdown makes in docs/failures.md.
const (
	Begin = "<!-- lab: made from lab/catalogue by `make failures`; do not edit by hand -->"
	End   = "<!-- lab: end -->"
)

// Markdown is the page's table.
func Markdown() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s\n| # | scenario | the fault | what pgherd does | what the operator sees |\n|---|---|---|---|---|\n", Begin)
	for _, e := range Entries() {
		number, name := fmt.Sprint(e.Number), "`"+e.Name+"`"
		if e.Number == 0 {
			number = "+"
		}
		if e.CI {
			name += " (CI)"
		}
		does := e.Happens
		if e.Limit != "" {
			does += ". **Limit:** " + e.Limit
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", number, name, e.Fault, does, e.Sees)
	}
	return b.String() + End + "\n"
}

// Replace puts the table into the page, at its place.
func Replace(page string) (string, error) {
	from, to := strings.Index(page, Begin), strings.Index(page, End)
	if from < 0 || to < from {
		return "", fmt.Errorf("docs/failures.md has no place for the table: %s ... %s", Begin, End)
	}
	return page[:from] + Markdown() + strings.TrimPrefix(page[to+len(End):], "\n"), nil
}
