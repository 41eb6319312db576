package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestKeysAreAListInTheManPage: every key of the tables in docs/configuration.md has a paragraph of its own in
// pgherd.yaml(5), and no link is left, which would end a table's cell.
func TestKeysAreAListInTheManPage(t *testing.T) {
	t.Chdir("../..")
	dir := t.TempDir()
	if err := configPage(dir, time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), "1"); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "pgherd.yaml.5"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for _, block := range generated.FindAllStringSubmatch(string(text), -1) {
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(block[1], -1) {
			keys++
			if !strings.Contains(string(page), "\n.TP\n\\fB"+row[1]+"\\fP; values: ") {
				t.Errorf("%s has no paragraph of its own", row[1])
			}
		}
	}
	if keys < 60 {
		t.Errorf("only %d keys were found: are they still recognised?", keys)
	}
	if strings.Contains(string(page), "\n.UR ") {
		t.Error("a link is left")
	}
}

func TestKeyList(t *testing.T) {
	got := keyList("| key | values | default | meaning |\n|---|---|---|---|\n| `a.b` | text | none | what it is |")
	if want := "**a.b**; values: text; default: none\n: what it is\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
