// Command pages writes what is made of pgherd's commands for packages: man pages, and completions for shells.
//
// Usage: pages -date 2026-11-28T00:00:00Z -version 1.2.3 DIR
//
// DIR/man gets the pages, DIR/completions the files for bash, zsh and fish. The same commands, date and version give the
// same bytes.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/pgherd/pgherd/internal/cli"
)

func main() {
	date := flag.String("date", "", "of the commit, RFC 3339")
	version := flag.String("version", "", "of the packages")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "error: want one directory")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *date, *version); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(dir, date, version string) error {
	at, err := time.Parse(time.RFC3339, date)
	if err != nil {
		return fmt.Errorf("-date: %w", err)
	}
	at = at.UTC()
	for _, sub := range []string{"man", "completions"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	root := cli.Commands()
	if err := completions(root, filepath.Join(dir, "completions")); err != nil {
		return err
	}
	header := doc.GenManHeader{Title: "PGHERD", Section: "1", Date: &at, Source: "pgherd " + version, Manual: "pgherd"}
	root.DisableAutoGenTag = true
	if err := manPages(root, header, filepath.Join(dir, "man")); err != nil {
		return err
	}
	return configPage(filepath.Join(dir, "man"), at, version)
}

// completions: bash's are of the second kind, which ask the binary itself, so that an upgrade needs no new shell.
func completions(root *cobra.Command, dir string) error {
	for name, write := range map[string]func(string) error{
		"pgherd":      func(path string) error { return root.GenBashCompletionFileV2(path, true) },
		"_pgherd":     root.GenZshCompletionFile,
		"pgherd.fish": func(path string) error { return root.GenFishCompletionFile(path, true) },
	} {
		if err := write(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// manPages writes one page for each command that is shown to people.
func manPages(cmd *cobra.Command, header doc.GenManHeader, dir string) error {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			if err := manPages(sub, header, dir); err != nil {
				return err
			}
		}
	}
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	header.Title = strings.ToUpper(name)
	var page bytes.Buffer
	if err := doc.GenMan(cmd, &header, &page); err != nil {
		return err
	}
	text := page.String()
	before, after, found := strings.Cut(text, ".SH SEE ALSO")
	if found {
		after = ".SH SEE ALSO" + after
	}
	return os.WriteFile(filepath.Join(dir, name+".1"), []byte(before+sections(cmd)+after), 0o644)
}

// sections are those that cobra does not know of.
func sections(cmd *cobra.Command) string {
	var b strings.Builder
	b.WriteString(".SH EXIT STATUS\n")
	for _, line := range cli.ExitCodes() {
		code, text, _ := strings.Cut(line, " ")
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fP\n%s\n", code, text)
	}
	if !cmd.HasParent() {
		b.WriteString(".SH FILES\n.TP\n\\fI/etc/pgherd/pgherd.yaml\\fP\nthe member's own settings, see \\fBpgherd.yaml(5)\\fP; another path by \\fB--config\\fP or by the variable PGHERD_CONFIG\n" +
			".TP\n\\fI/var/lib/pgherd\\fP\nkeys, store, journal, sockets, and PostgreSQL's data\n")
	}
	return b.String()
}

// configPage is docs/configuration.md as pgherd.yaml(5).
func configPage(dir string, at time.Time, version string) error {
	text, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		return fmt.Errorf("run it in the repository's root: %w", err)
	}
	_, body, _ := strings.Cut(string(text), "\n") // the heading is the page's name
	head := fmt.Sprintf("%% \"PGHERD.YAML\" \"5\" \"%s\" \"pgherd %s\" \"pgherd\"\n# NAME\npgherd.yaml - settings of a member, and of the cluster\n\n# DESCRIPTION\n", at.Format("Jan 2006"), version)
	return os.WriteFile(filepath.Join(dir, "pgherd.yaml.5"), md2man.Render([]byte(head+forMan(body))), 0o644)
}

var (
	within    = regexp.MustCompile(`\[([^\]]+)\]\(#[^)]*\)`)
	elsewhere = regexp.MustCompile(`\[([^\]]+)\]\(([\w/.-]+\.md)[^)]*\)`)
	generated = regexp.MustCompile(`(?s)<!-- generated: .*? -->\n(.*?)<!-- end -->\n`)
)

// forMan: a terminal is too narrow for the tables of keys, which become lists; and md2man ends a table's cell at a
// link, so that links become text.
func forMan(page string) string {
	page = within.ReplaceAllString(page, "$1")
	page = elsewhere.ReplaceAllString(page, "$1 ⟨docs/$2⟩")
	return generated.ReplaceAllStringFunc(page, func(block string) string {
		return keyList(strings.TrimSpace(generated.FindStringSubmatch(block)[1])) + "\n"
	})
}

// keyList makes a table whose first column is the key and whose last is the meaning a list of definitions.
func keyList(table string) string {
	var b strings.Builder
	var columns []string
	for i, line := range strings.Split(table, "\n") {
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
		last := len(cells) - 1
		switch i {
		case 0:
			columns = cells
		case 1: // |---|---|
		default:
			b.WriteString("**" + strings.Trim(cells[0], "`") + "**")
			for j := 1; j < last; j++ {
				fmt.Fprintf(&b, "; %s: %s", columns[j], cells[j])
			}
			b.WriteString("\n: " + cells[last] + "\n\n")
		}
	}
	return b.String()
}
