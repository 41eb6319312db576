package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/demo"
)

// record is what is read of one line of a member's journal.
type record struct {
	At   time.Time `json:"at"`
	View struct {
		Store struct {
			Lease struct {
				Holder   string `json:"holder"`
				Term     uint64 `json:"term"`
				Released bool   `json:"released"`
			} `json:"lease"`
		} `json:"store"`
		Local struct {
			Warden struct {
				Empty    bool   `json:"empty"`
				ExitText string `json:"exit_text"`
				ExitedAt int64  `json:"exited_at"`
			} `json:"warden"`
			Instance struct {
				State   string `json:"state"`
				Primary bool   `json:"primary"`
			} `json:"instance"`
		} `json:"local"`
	} `json:"view"`
}

// readJournal gives a member's records from an instant on.
func readJournal(stateDir string, since time.Time) ([]record, error) {
	f, err := os.Open(filepath.Join(stateDir, "journal", "journal.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []record
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return list, nil // the last line may be half written
		}
		var r record
		if json.Unmarshal(line, &r) == nil && r.At.After(since) {
			list = append(list, r)
		}
	}
}

// phaseNames are the stations of a failover.
var phaseNames = []string{"noticed", "empty", "released", "taken", "promoted", "first write"}

// where collects when each station was reached, in seconds after the fault.
type where struct{ at [6]report.Series }

// add reads all journals after one round. A station that was not passed (nobody
// releases a lease in a power cut) is left out.
func (w *where) add(c *demo.Cluster, r round, gap demo.Gap) error {
	began := r.began.Round(0) // journals have wall time; it is the same machine's
	seen := [6]time.Time{5: gap.To.Round(0)}
	note := func(i int, at time.Time) {
		if seen[i].IsZero() || at.Before(seen[i]) {
			seen[i] = at
		}
	}
	for _, name := range c.Names() {
		list, err := readJournal(c.StateDir(name), began)
		if err != nil {
			return err
		}
		for _, rec := range list {
			stations(rec, name, r, note)
		}
	}
	for i, at := range seen {
		if !at.IsZero() {
			w.at[i] = append(w.at[i], at.Sub(began).Seconds())
		}
	}
	return nil
}

// stations tells which stations one record shows to have been reached.
func stations(rec record, name string, r round, note func(int, time.Time)) {
	lease, local := rec.View.Store.Lease, rec.View.Local
	if name == r.primary && lease.Term == r.term {
		if local.Instance.State != "running" || local.Warden.Empty {
			note(0, rec.At)
		}
		if local.Warden.Empty {
			note(1, rec.At)
		}
	}
	if lease.Term == r.term && lease.Released {
		note(2, rec.At)
	}
	if lease.Term > r.term {
		note(3, rec.At)
		if lease.Holder == name && local.Instance.Primary && local.Instance.State == "running" {
			note(4, rec.At)
		}
	}
}

// phases gives the medians, and what each station took after the one before.
func (w *where) phases(what string) whereTime {
	t := whereTime{What: what}
	before := 0.0
	for i, name := range phaseNames {
		if len(w.at[i]) == 0 {
			continue
		}
		at := w.at[i].Median()
		t.Phases = append(t.Phases, phase{name, at, at - before})
		before = at
	}
	return t
}

// whereTime says where the time of one fault goes.
type whereTime struct {
	What   string  `json:"what"`
	Phases []phase `json:"phases"`
}

type phase struct {
	Name  string  `json:"name"`
	At    float64 `json:"at_seconds"`   // after the fault, median
	Since float64 `json:"took_seconds"` // after the station before
}
