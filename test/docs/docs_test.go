package docs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const page = "Say `pgherd status`, or `pgherd drain n1`; `pgherd ...` is nothing, and `curl` is a word.\n\n" +
	"```sh\npgherd events --limit 5   # five\npgherd token create > token\ncurl -s http://x/ | cat\nrunuser -u postgres -- psql -h /x -c \"SELECT 1\"\n```\n\n" +
	"    pgherd wait --for writable && psql -f a.sql\n    pgherd demo: n1 hands over\n"

func TestCommands(t *testing.T) {
	want := []string{"status", "drain n1", "events --limit 5", "token create", "wait --for writable"}
	if got := Commands(page); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLines(t *testing.T) {
	want := []string{"curl -s http://x/ | cat", `runuser -u postgres -- psql -h /x -c "SELECT 1"`, "pgherd wait --for writable && psql -f a.sql"}
	if got := Lines(page); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPages(t *testing.T) {
	if pages, err := Pages(); err != nil {
		t.Error(pages, err)
	}
}

var (
	makeTarget = regexp.MustCompile("(?:`|^|[ ;])make ([a-z][a-z-]*)")
	code       = regexp.MustCompile("(?s)```.*?```|`[^`]+`")
	testName   = regexp.MustCompile(`\bTest[A-Z]\w+`)
)

// What `make` is told to make is in the Makefile, and a test that a page names as its proof exists.
func TestWhatPagesNameExists(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := Tests()
	if err != nil {
		t.Fatal(err)
	}
	targets, names := 0, 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range code.FindAllString(string(text), -1) {
			for _, m := range makeTarget.FindAllStringSubmatch(span, -1) {
				if targets++; !strings.Contains("\n"+string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s: there is no target %q in the Makefile", page, m[1])
				}
			}
			for _, name := range testName.FindAllString(span, -1) {
				if names++; !strings.Contains(tests, "\nfunc "+name) { // -run takes what begins so
					t.Errorf("%s: no test is called %s", page, name)
				}
			}
		}
	}
	if targets < 20 || names < 5 {
		t.Errorf("only %d targets and %d tests were found", targets, names)
	}
}

func pages(t *testing.T) []string {
	t.Helper()
	list, err := Pages()
	if err != nil {
		t.Fatal(err)
	}
	return list
}
