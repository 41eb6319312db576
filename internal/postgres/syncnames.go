package postgres

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// SyncNames renders synchronous_standby_names: "ANY k ("a", "b")", empty for no names.
func SyncNames(k int, members []string) string {
	if len(members) == 0 || k < 1 {
		return ""
	}
	quoted := make([]string, len(members))
	for i, m := range members {
		quoted[i] = quoteIdent(m)
	}
	return "ANY " + strconv.Itoa(k) + " (" + strings.Join(quoted, ", ") + ")"
}

var anyNames = regexp.MustCompile(`^ANY (\d+) \((.*)\)$`)

// ParseSyncNames reads back what SyncNames rendered. Any other form, which somebody
// else must have set, gives k 0 and the whole text as one name: no set of ours.
func ParseSyncNames(text string) (k int, members []string) {
	if text == "" {
		return 0, nil
	}
	m := anyNames.FindStringSubmatch(text)
	if m == nil {
		return 0, []string{text}
	}
	k, _ = strconv.Atoi(m[1])
	for name := range strings.SplitSeq(m[2], ", ") {
		members = append(members, strings.Trim(name, `"`))
	}
	slices.Sort(members)
	return k, members
}
