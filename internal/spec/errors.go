package spec

import (
	"fmt"
	"strings"
)

// Error is one problem in what the user wrote.
type Error struct {
	Path string // the file, empty when it did not come from one
	Key  string // such as "postgres.port"; empty when it is about the whole
	Line int    // from 1; 0 when not known
	Text string // what is wrong, on what
	Hint string // what to do; may be empty
}

// Error gives one line: "pgherd.yaml: unknown key "adress" at line 2; did you mean "address"?".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Text)
	if e.Line > 0 {
		fmt.Fprintf(&b, " at line %d", e.Line)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Errors lists all problems found, so that a file is mended in one round. It is
// what the parsers and validators return; errors.As finds the first *Error in it.
type Errors []*Error

// Error gives one line a problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As and errors.Is see each.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// orNil keeps an empty list from becoming a non-nil error.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// problems collects while values are checked; lines gives keys their place in the file.
type problems struct {
	path  string
	lines map[string]int
	list  Errors
}

func (p *problems) add(key, hint, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if key != "" {
		text = key + ": " + text
	}
	p.list = append(p.list, &Error{Path: p.path, Key: key, Line: p.line(key), Text: text, Hint: hint})
}

func (p *problems) addErr(key string, err error) {
	if err != nil {
		p.add(key, "", "%s", err)
	}
}

// line finds the key's line, or the line of the section that lacks it.
func (p *problems) line(key string) int {
	for key != "" {
		if n := p.lines[key]; n > 0 {
			return n
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return 0
}

// didYouMean gives a hint when a known name is close to the wrong one.
func didYouMean(wrong string, known []string) string {
	// Two letters exchanged are two edits; in a word of three that would fit almost anything.
	best, bestDistance := "", max(min(2, len(wrong)/2), len(wrong)/3)+1
	for _, k := range known {
		if d := editDistance(wrong, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// editDistance is Levenshtein's, over bytes: the names are ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
