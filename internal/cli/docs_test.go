package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/pgherd/pgherd/test/docs"
)

// What people read they will type: every `pgherd …` in README.md and docs/ must be a command with the flags and as many
// arguments as it takes. (test/integration runs them: TestDocsCommandsRun; the quick start is run as it stands by the lab.)
func TestDocsShowCommandsThatExist(t *testing.T) {
	seen := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range docs.Commands(string(text)) {
			seen++
			if err := parses(command); err != nil {
				t.Errorf("%s: pgherd %s: %v", filepath.Base(page), command, err)
			}
		}
	}
	if seen < 150 {
		t.Errorf("only %d commands were found: are they still recognised?", seen)
	}
}

func TestDocsTestSeesWhatIsWrong(t *testing.T) {
	page := "`pgherd status --jso`\n\n```sh\npgherd swithcover n2\npgherd drain n1 n2 # two\n```\n\n    pgherd drain n1   # fine\n"
	wrong := 0
	for _, command := range docs.Commands(page) {
		if parses(command) != nil {
			wrong++
		}
	}
	if found := len(docs.Commands(page)); found != 4 || wrong != 3 {
		t.Errorf("%d commands found, %d of them wrong; want 4 and 3", found, wrong)
	}
}

func pages(t *testing.T) []string {
	t.Helper()
	pages, err := docs.Pages()
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// parses says whether cobra would run it. [OPTIONAL] is left out; a|b is read as a.
func parses(command string) error {
	if i := strings.Index(command, "|"); i > 0 { // config show | edit | set …
		command = strings.TrimSpace(command[:i])
	}
	var args []string
	for _, word := range strings.Fields(regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(command, "")) {
		args = append(args, strings.Trim(word, `"'`))
	}
	root := (&app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}).root()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil && err != pflag.ErrHelp {
		return err
	}
	if cmd.HasSubCommands() || cmd.Args == nil || strings.Contains(command, ",") && len(rest) == 0 {
		return nil
	}
	positional := cmd.Flags().Args()
	if len(positional) == 0 {
		return nil // named, not shown: "`pgherd join` makes …"
	}
	return cmd.Args(cmd, positional)
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// A link that leads nowhere is a question without an answer.
func TestDocsLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(docs.Prose(string(text)), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(page), m[1], err)
			} else if anchor != "" && !hasAnchor(t, target, anchor) {
				t.Errorf("%s: %s: there is no such heading", filepath.Base(page), m[1])
			}
		}
	}
}

func hasAnchor(t *testing.T, page, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(docs.Prose(string(text))) {
		if strings.HasPrefix(line, "#") && slug(line) == anchor {
			return true
		}
	}
	return false
}

// slug is how the usual renderers name a heading.
func slug(heading string) string {
	heading = strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}
