package forks

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

var day = time.Date(2026, 11, 25, 19, 0, 0, 0, time.UTC)

// save makes a fork as a save does; size is that of its one file.
func save(t *testing.T, dir string, at time.Time, size int) Summary {
	t.Helper()
	making := filepath.Join(dir, Making)
	if err := os.MkdirAll(making, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(making, "000000010000000000000001"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	s := Summary{Member: "n1", SavedAt: at, Timeline: 1, Complete: true}
	if err := Finish(dir, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(list []Summary) (out []string) {
	for _, s := range list {
		out = append(out, s.ID)
	}
	return out
}

func TestSavedForksAreListedInOrderAndRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "forks")
	if list, err := List(dir); list != nil || err != nil {
		t.Errorf("without a directory: %v %v", list, err)
	}
	save(t, dir, day.Add(time.Hour), 1)
	save(t, dir, day, 1)
	save(t, dir, day, 1)                                                // within the same second
	if err := os.Mkdir(filepath.Join(dir, Making), 0o700); err != nil { // a crash in the middle
		t.Fatal(err)
	}
	want := []string{"20261125T190000Z-tl1", "20261125T190000Z-tl1-2", "20261125T200000Z-tl1"}
	if list, err := List(dir); err != nil || !slices.Equal(ids(list), want) {
		t.Errorf("list: %v %v", ids(list), err)
	}
	for range 2 { // once more after a crash
		if err := Remove(dir, want[1]); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".", "..", "../forks", ".making", "a/b"} {
		if err := Remove(dir, bad); err == nil {
			t.Errorf("%q was removed", bad)
		}
	}
	if err := Sweep(dir); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*"+want[1]+"*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if list, _ := List(dir); !slices.Equal(ids(list), []string{want[0], want[2]}) {
		t.Errorf("list: %v", ids(list))
	}
}

// A summary that cannot be read hides nothing: the WAL beside it may be the only copy.
func TestForkWithABrokenSummaryIsListed(t *testing.T) {
	dir := t.TempDir()
	s := save(t, dir, day, 1)
	if err := os.WriteFile(filepath.Join(dir, s.ID, SummaryFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := List(dir)
	if err != nil || len(list) != 1 || list[0].ID != s.ID || list[0].Complete || len(list[0].Missing) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if late := Overdue(list, func(string) int64 { return 1 }, time.Hour, 10, day.Add(1000*time.Hour)); late != nil {
		t.Errorf("its age is not known, and it is overdue: %v", late)
	}
}

func TestOverdue(t *testing.T) {
	dir := t.TempDir()
	for i, size := range []int{100, 100, 100, 300} {
		save(t, dir, day.Add(time.Duration(i)*time.Hour), size)
	}
	list, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	size := func(id string) int64 { return SizeOf(dir, id) / 100 * 100 } // without the summaries
	for name, c := range map[string]struct {
		keep time.Duration
		max  int64
		late time.Duration // after the first
		want int           // of the oldest
	}{
		"all within both":                     {24 * time.Hour, 10_000, 4 * time.Hour, 0},
		"two are old":                         {150 * time.Minute, 10_000, 4 * time.Hour, 2},
		"all are old":                         {time.Hour, 10_000, 10 * time.Hour, 4},
		"too large together":                  {24 * time.Hour, 1800, 4 * time.Hour, 0},
		"the newest alone is too large":       {24 * time.Hour, 10, 4 * time.Hour, 3},
		"nothing may be kept, but the newest": {24 * time.Hour, 0, 4 * time.Hour, 3},
	} {
		got := Overdue(list, size, c.keep, c.max, day.Add(c.late))
		if !slices.Equal(got, ids(list)[:c.want]) && (len(got) > 0 || c.want > 0) {
			t.Errorf("%s: %v, want the first %d of %v", name, got, c.want, ids(list))
		}
	}
}

func TestText(t *testing.T) {
	s := Summary{ID: "X", Member: "n1", Timeline: 1, From: wal.Position{Timeline: 1, LSN: 0x5000}, To: wal.Position{Timeline: 1, LSN: 0x6000}, Bytes: 4200, Committed: 12, Acked: true, Complete: true}
	has := func(words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(s.Text(), w) {
				t.Errorf("%q is not in %q", w, s.Text())
			}
		}
	}
	has("fork n1/X: timeline 1 from 0/5000 to 0/6000 was only here, 4200 bytes with 12 committed transactions", "clients may have been told of")
	s.Acked = false
	has("none of which was acknowledged")
	s.Relations = []Relation{
		{Filenode: 1, Records: 3, Name: "app.public.b", Kind: "table"}, {Filenode: 2, Records: 30, Name: "app.public.a", Kind: "table"}, {Filenode: 3, Records: 99, Name: "app.public.a_pkey", Kind: "index"},
		{Filenode: 4, Records: 50, Name: "app.pg_catalog.pg_class", Kind: "table"}, {Filenode: 5, Records: 1, Created: true},
	}
	s.Named = true
	has("tables: app.public.a, app.public.b;", "1 relation made or rewritten since: no name here")
	s.From, s.Complete, s.Missing = wal.Position{}, false, []string{"gone"}
	has("from its beginning", "not complete: gone")
}
