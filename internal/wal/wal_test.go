package wal

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestParseLSN(t *testing.T) {
	good := map[string]LSN{
		"": 0, "0/0": 0, "0/1": 1, "16/B374D848": 0x16B374D848, "16/b374d848": 0x16B374D848,
		"1/0": 1 << 32, "FFFFFFFF/FFFFFFFF": ^LSN(0), "00000001/00000002": 1<<32 | 2,
	}
	for text, want := range good {
		if have, err := ParseLSN(text); err != nil || have != want {
			t.Errorf("ParseLSN(%q) = %v, %v; want %v", text, have, err, want)
		}
	}
	for _, text := range []string{"0", "/", "0/", "/0", "0/0/0", "x/0", "0/x", "-1/0", "0/-1", "+1/0", "0/+1", "100000000/0", "0/100000000", " 0/0", "0/0 ", "0 /0", "0x1/0", "1_0/0", "16\\B3"} {
		if have, err := ParseLSN(text); err == nil {
			t.Errorf("ParseLSN(%q) = %v, want an error", text, have)
		} else if !strings.Contains(err.Error(), "LSN") || have != 0 {
			t.Errorf("ParseLSN(%q): %v, %v", text, have, err)
		}
	}
}

func TestLSNText(t *testing.T) {
	for l, want := range map[LSN]string{0: "0/0", 1: "0/1", 0x16B374D848: "16/B374D848", ^LSN(0): "FFFFFFFF/FFFFFFFF", 1 << 32: "1/0"} {
		if l.String() != want {
			t.Errorf("%d: %s, want %s", uint64(l), l, want)
		}
	}
}

// An operator pastes what `status --json` prints into psql.
func TestLSNInJSON(t *testing.T) {
	type record struct {
		LSN LSN            `json:"lsn"`
		Map map[string]LSN `json:"map"`
	}
	in := record{0x16B374D848, map[string]LSN{"a": 5}}
	data, err := json.Marshal(in)
	if err != nil || string(data) != `{"lsn":"16/B374D848","map":{"a":"0/5"}}` {
		t.Fatalf("%s, %v", data, err)
	}
	var out record
	if err := json.Unmarshal(data, &out); err != nil || out.LSN != in.LSN || out.Map["a"] != 5 {
		t.Fatalf("%+v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"lsn":"nonsense"}`), &out); err == nil {
		t.Error("nonsense was read as an LSN")
	}
	if err := json.Unmarshal([]byte(`{"lsn":7}`), &out); err == nil {
		t.Error("a number was read as an LSN")
	}
}

func TestSub(t *testing.T) {
	for _, c := range []struct {
		l, other LSN
		want     int64
	}{
		{100, 40, 60}, {100, 100, 0}, {40, 100, 0}, // a lag is never negative
		{0, 40, 0}, {100, 0, 0}, {0, 0, 0}, // unknown is no distance
		{1 << 32, 1, 1<<32 - 1},
	} {
		if have := c.l.Sub(c.other); have != c.want {
			t.Errorf("%s - %s = %d, want %d", c.l, c.other, have, c.want)
		}
	}
}

// The order is timeline first: more bytes on an older timeline are a fork.
func TestPositionOrder(t *testing.T) {
	sorted := []Position{{0, 0}, {0, 9}, {1, 0}, {1, 5}, {1, 900}, {2, 1}, {3, 0}, {3, ^LSN(0)}}
	for i, p := range sorted {
		for j, q := range sorted {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if have := p.Compare(q); have != want {
				t.Errorf("%s to %s: %d, want %d", p, q, have, want)
			}
		}
	}
	if text := (Position{3, 0x5000028}).String(); text != "3:0/5000028" {
		t.Error(text)
	}
}

const historyText = "1\t0/3000000\tno recovery target specified\n" +
	"# a comment\n\n" +
	"  2 \t 0/50000A0 before 2026-11-20 10:00:00+00\n4\t1/0"

func TestParseHistory(t *testing.T) {
	h, err := ParseHistory(historyText)
	want := History{{1, 0x3000000}, {2, 0x50000A0}, {4, 1 << 32}}
	if err != nil || !slices.Equal(h, want) {
		t.Fatalf("%v, %v", h, err)
	}
	for _, empty := range []string{"", "\n\n", "# only a comment\n", "   \n"} {
		if h, err := ParseHistory(empty); err != nil || len(h) != 0 {
			t.Errorf("%q: %v, %v", empty, h, err)
		}
	}
	for text, says := range map[string]string{
		"1":                   "no LSN",
		"one 0/1":             "invalid syntax",
		"1 zero":              "LSN",
		"-1 0/1":              "invalid syntax",
		"4294967296 0/1":      "out of range",
		"2 0/1\n1 0/2":        "does not follow",
		"1 0/1\n1 0/2":        "does not follow",
		"1 0/1\nbroken":       "no LSN",
		"1 0/100000000 large": "LSN",
	} {
		if h, err := ParseHistory(text); err == nil || !strings.Contains(err.Error(), says) || h != nil {
			t.Errorf("%q: %v, %v; want an error that says %q", text, h, err, says)
		}
	}
}

func TestForkOf(t *testing.T) {
	h := History{{1, 0x100}, {2, 0x200}} // of timeline 3, or of 5 after a gap in the numbers
	for _, c := range []struct {
		old, current Timeline
		at           LSN
		ok           bool
	}{
		{1, 3, 0x100, true}, {2, 3, 0x200, true},
		{3, 3, ^LSN(0), true}, // no fork: everything of it belongs
		{4, 3, 0, false},      // not an ancestor, though a number near it
		{9, 3, 0, false}, {0, 3, 0, false},
	} {
		if at, ok := h.ForkOf(c.old, c.current); at != c.at || ok != c.ok {
			t.Errorf("fork of %d in %d: %s, %v; want %s, %v", c.old, c.current, at, ok, c.at, c.ok)
		}
	}
	if at, ok := History(nil).ForkOf(1, 1); at != ^LSN(0) || !ok {
		t.Errorf("timeline 1 has no history and no fork: %s, %v", at, ok)
	}
	if _, ok := History(nil).ForkOf(1, 2); ok {
		t.Error("an unknown history knows no ancestors")
	}
}

func TestPartingOfTwoHistories(t *testing.T) {
	const open = ^LSN(0)
	for name, c := range map[string]struct {
		mine    History
		current Timeline
		theirs  History
		other   Timeline
		want    LSN
	}{
		"the same timeline":            {nil, 1, nil, 1, open},
		"they left mine":               {nil, 1, History{{1, 100}}, 2, 100},
		"I left theirs":                {History{{1, 100}}, 2, nil, 1, 100},
		"two that left one, I first":   {History{{1, 80}}, 2, History{{1, 100}}, 3, 80},
		"two that left one, I later":   {History{{1, 120}}, 2, History{{1, 100}}, 3, 100},
		"they left the second of mine": {History{{1, 80}}, 2, History{{1, 80}, {2, 200}}, 5, 200},
		"the oldest fork is cut off":   {History{{1, 80}}, 4, History{{3, 200}}, 5, 200},
		"a history that was not read":  {nil, 3, History{{1, 80}}, 5, 80},
		"nothing in common":            {nil, 3, nil, 1, 0},
	} {
		if got := c.mine.Parting(c.current, c.theirs, c.other); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func FuzzParseLSN(f *testing.F) {
	for _, seed := range []string{"", "0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF", "0/", "/", "g/1", "100000000/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLSN(text)
		if err != nil {
			return
		}
		again, err := ParseLSN(l.String())
		if err != nil || again != l {
			t.Fatalf("%q: %s does not read back: %s, %v", text, l, again, err)
		}
		if n, slash := len(text), strings.Count(text, "/"); n > 0 && slash != 1 {
			t.Fatalf("%q was read as %s", text, l)
		}
	})
}

func FuzzParseHistory(f *testing.F) {
	f.Add(historyText)
	f.Add("1 0/1\n2 0/2 why\n")
	f.Add("# x\n7\t0/0\tx y z")
	f.Add("1 0/1\r\n2 0/1")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHistory(text)
		if err != nil {
			if h != nil {
				t.Fatal("an error and a history")
			}
			return
		}
		for i, s := range h {
			if i > 0 && h[i-1].Timeline >= s.Timeline {
				t.Fatalf("%v is not in order", h)
			}
			// An ancestor is found again, unless asked for as the current one.
			if at, ok := h.ForkOf(s.Timeline, s.Timeline+1); !ok || at != s.LSN {
				t.Fatalf("%v forgets %d", h, s.Timeline)
			}
		}
		if lines := strings.Count(text, "\n") + 1; len(h) > lines {
			t.Fatalf("%d switches from %d lines", len(h), lines)
		}
	})
}

func TestCommonOfTwoHistories(t *testing.T) {
	const open = ^LSN(0)
	for name, c := range map[string]struct {
		mine    History
		current Timeline
		theirs  History
		other   Timeline
		want    Position
		ok      bool
	}{
		"the same timeline":            {nil, 1, nil, 1, Position{1, open}, true},
		"they left mine":               {nil, 1, History{{1, 100}}, 2, Position{1, 100}, true},
		"I left theirs":                {History{{1, 100}}, 2, nil, 1, Position{1, 100}, true},
		"two that left one, I first":   {History{{1, 80}}, 2, History{{1, 100}}, 3, Position{1, 80}, true},
		"two that left one, I later":   {History{{1, 120}}, 2, History{{1, 100}}, 3, Position{1, 100}, true},
		"they left the second of mine": {History{{1, 80}}, 2, History{{1, 80}, {2, 200}}, 5, Position{2, 200}, true},
		"same numbers, other places":   {History{{1, 80}, {2, 90}}, 4, History{{1, 80}, {3, 200}}, 5, Position{1, 80}, true},
		"a history that was not read":  {nil, 3, History{{1, 80}}, 5, Position{}, false},
	} {
		if got, ok := c.mine.Common(c.current, c.theirs, c.other); got != c.want || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", name, got, ok, c.want, c.ok)
		}
		if got, ok := c.theirs.Common(c.other, c.mine, c.current); got != c.want || ok != c.ok {
			t.Errorf("%s, seen from the other: %v %v, want %v %v", name, got, ok, c.want, c.ok)
		}
	}
}
