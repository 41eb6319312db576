package metrics

import (
	"maps"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/snapshot"
)

// The fixture: testdata/patroni.txt has what Patroni says that it answers, and what public boards and alerts ask for. The facts are theirs, the
// lines ours:
//
//	metric NAME TYPE        one of Patroni's, all with the labels scope and name
//	state NUMBER NAME       a value of patroni_postgres_state, or `-` for NAME where it is not used here
//	asks SOURCE NAME...     what a board or a rule asks for
//	missing NAME REASON     what somebody asks for and neither Patroni nor pgherd answers
type fixture struct {
	metrics map[string]string
	states  map[string]string
	asked   map[string][]string // by source
	missing map[string]string
}

func readFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{map[string]string{}, map[string]string{}, map[string][]string{}, map[string]string{}}
	for line := range strings.Lines(read(t, "testdata/patroni.txt")) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		switch {
		case words[0] == "metric" && len(words) == 3:
			f.metrics[words[1]] = words[2]
		case words[0] == "state" && len(words) == 3:
			f.states[words[1]] = words[2]
		case words[0] == "asks" && len(words) > 2:
			f.asked[words[1]] = append(f.asked[words[1]], words[2:]...)
		case words[0] == "missing" && len(words) > 2:
			f.missing[words[1]] = strings.Join(words[2:], " ")
		default:
			t.Fatalf("this is no line of the fixture: %s", line)
		}
	}
	return f
}

// TestPatronisNames: all of them with their types and labels and no other, on a primary and on a standby: a board whose query finds nothing
// shows nothing, and says nothing of it.
func TestPatronisNames(t *testing.T) {
	f := readFixture(t)
	for _, s := range []snapshot.Snapshot{primary(), standby()} {
		got := map[string]string{}
		for _, family := range gather(t, s) {
			if !strings.HasPrefix(family.GetName(), "patroni_") {
				continue
			}
			got[family.GetName()] = strings.ToLower(family.GetType().String())
			if len(family.GetMetric()) != 1 {
				t.Errorf("%s has %d series", family.GetName(), len(family.GetMetric()))
			}
			for _, m := range family.GetMetric() {
				if labels := labelsOf(m); labels != "name="+s.View.Self+" scope=main" {
					t.Errorf("%s has the labels %s", family.GetName(), labels)
				}
			}
		}
		if !maps.Equal(got, f.metrics) || len(got) < 23 {
			t.Errorf("%s answers\n%v\nwant\n%v", s.View.Self, got, f.metrics)
		}
	}
}

// TestBoardsFindWhatTheyAskFor: boards and alerts that were written for Patroni. What one asks in vain has its reason, which is Patroni's, too.
func TestBoardsFindWhatTheyAskFor(t *testing.T) {
	f := readFixture(t)
	if len(f.asked) < 3 {
		t.Errorf("only %d sources", len(f.asked))
	}
	used := map[string]bool{}
	for source, names := range f.asked {
		for _, name := range names {
			if f.missing[name] != "" {
				used[name] = true
			} else if f.metrics[name] == "" {
				t.Errorf("%s asks for %s, which is not answered, and nobody says why", source, name)
			}
		}
	}
	for name := range f.missing {
		if !used[name] || f.metrics[name] != "" {
			t.Errorf("%s is said to be missing: nobody asks for it, or it is there", name)
		}
	}
}

// TestPatronisStates: the help lists the values that are used here, under Patroni's names.
func TestPatronisStates(t *testing.T) {
	f := readFixture(t)
	if len(f.states) != 15 {
		t.Errorf("Patroni has 15 states, not %d", len(f.states))
	}
	var help string
	for _, family := range patronis {
		if family.Name == "patroni_postgres_state" {
			help = family.Help
		}
	}
	_, list, _ := strings.Cut(strings.TrimSuffix(help, "."), ": ")
	said := map[string]string{}
	for one := range strings.SplitSeq(list, ", ") {
		number, name, _ := strings.Cut(one, "=")
		said[number] = name
	}
	if said["-1"] != "unknown" {
		t.Errorf("the help lists %v", said)
	}
	delete(said, "-1") // Patroni's own for a state that is none
	for number, name := range f.states {
		if name != "-" && said[number] != name || name == "-" && said[number] != "" {
			t.Errorf("state %s is %q in the help, want %s", number, said[number], name)
		}
		delete(said, number)
	}
	if len(said) > 0 {
		t.Errorf("no states of Patroni's: %v", said)
	}
}

func TestPadded(t *testing.T) {
	for version, want := range map[string]float64{"1.2.3": 10203, "v0.12.0": 1200, "v1.0.0-3-gabc": 10000, "dev": 0, "1.2": 0, "1.x.3": 0, "": 0, "1.200.1": 0} {
		if got := padded(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
