package docs

import (
	"slices"
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
