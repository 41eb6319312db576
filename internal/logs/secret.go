package logs

import (
	"regexp"
	"strings"

	"github.com/pgherd/pgherd/internal/spec"
)

// untold stands in the stream for what only PostgreSQL's own file tells.
const untold = "(not told here: it may hold a secret)"

// What PostgreSQL quotes of its parameters, in English: pgherd makes every cluster with lc_messages C. The name, where there is
// one, is in the parentheses; the value begins where the match ends.
var quoting = []*regexp.Regexp{
	regexp.MustCompile(`parameter "([\w.]+)" changed to "`),
	regexp.MustCompile(`\b(\w+_command) "`), // how it ended
	regexp.MustCompile(`executing (?:archive|restore) command "`),
	regexp.MustCompile(`The failed archive command was: `),
}

// withoutSecret gives a line of PostgreSQL's without the value of a parameter that people write access keys into. PostgreSQL's
// own file is its owner's alone; the stream goes on to systemd's journal, which whole groups read, and from there to other
// machines. What a client's statement holds stays: nobody can tell what in it is secret (docs/security.md).
func withoutSecret(text string) (clean string, cut bool) {
	if !strings.Contains(text, `command`) && !strings.Contains(text, `" changed to "`) {
		return text, false // as nearly all lines
	}
	for _, q := range quoting {
		at := q.FindStringSubmatchIndex(text)
		if at == nil {
			continue
		}
		if len(at) > 2 && !spec.MayHoldSecret(text[at[2]:at[3]]) {
			continue
		}
		return strings.TrimSuffix(text[:at[1]], `"`) + untold, true
	}
	return text, false
}
