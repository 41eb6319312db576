package forks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// Summary says what one saved fork holds. It is summary.json in the fork's directory.
type Summary struct {
	ID       string    `json:"id"` // the directory's name
	Member   string    `json:"member"`
	Cluster  string    `json:"cluster"` // its id
	SystemID string    `json:"system_id"`
	SavedAt  time.Time `json:"saved_at"`

	Timeline wal.Timeline `json:"timeline"`      // that the member was on
	From     wal.Position `json:"from,omitzero"` // the last position that the primary had too; zero: not known
	To       wal.Position `json:"to"`            // where the last whole record begins
	Bytes    int64        `json:"bytes"`         // of WAL between the two
	Files    []string     `json:"files"`         // that were saved

	Committed    int           `json:"committed"` // transactions
	Aborted      int           `json:"aborted"`
	Transactions []Transaction `json:"transactions"` // the first TransactionsMax of them
	Relations    []Relation    `json:"relations"`    // that records change, most records first; RelationsMax at most

	// Acked: commits among them may have been acknowledged to clients. Otherwise none was, under
	// durability sync: a session that lowers its synchronous_commit gives that up for itself.
	Acked    bool     `json:"acked"`
	Complete bool     `json:"complete"`          // all WAL after From was there and could be read
	Missing  []string `json:"missing,omitempty"` // else: what was not, and why
	Named    bool     `json:"named"`             // the names of relations were looked up
}

// Limits of what a summary lists; counts are of all.
const (
	TransactionsMax = 5000
	RelationsMax    = 1000
)

// Transaction is one that ended after the fork.
type Transaction struct {
	XID     uint32 `json:"xid"`
	At      string `json:"at"` // as PostgreSQL wrote it, in UTC
	Aborted bool   `json:"aborted,omitempty"`
}

// Relation is a table, index or the like by its place on disk.
type Relation struct {
	Tablespace uint32 `json:"tablespace"`
	Database   uint32 `json:"database"` // 0: shared by all
	Filenode   uint32 `json:"filenode"`
	Records    int    `json:"records"`
	// Created: its file was made after the fork. What has that number elsewhere is something
	// else, so no name is looked up.
	Created bool   `json:"created,omitempty"`
	Name    string `json:"name,omitempty"` // database.schema.name; empty: not known
	Kind    string `json:"kind,omitempty"` // table, index, toast, sequence, other
	Of      string `json:"of,omitempty"`   // of an index or toast: its table
}

// Place is the relation as PostgreSQL's own tools write it.
func (r Relation) Place() string {
	return fmt.Sprintf("%d/%d/%d", r.Tablespace, r.Database, r.Filenode)
}

// Path names the fork among those of all members.
func (s Summary) Path() string { return s.Member + "/" + s.ID }

// Tables gives the tables of users that were changed, with their own records, most first.
func (s Summary) Tables() (names []string) {
	records := map[string]int{}
	for _, r := range s.Relations {
		if r.Kind == "table" && !strings.Contains(r.Name, ".pg_catalog.") {
			records[r.Name] += r.Records
		}
	}
	for name := range records {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(records[b]-records[a], cmp.Compare(a, b)) })
	return names
}

const tablesTold = 5 // in a sentence

// Text is the summary in one sentence.
func (s Summary) Text() string {
	from := s.From.LSN.String()
	if s.From.LSN == 0 {
		from = "its beginning"
	}
	text := fmt.Sprintf("fork %s: timeline %d from %s to %s was only here, %d bytes with %d committed transaction%s", s.Path(), s.To.Timeline, from, s.To.LSN, s.Bytes, s.Committed, plural(s.Committed))
	switch {
	case s.Committed == 0:
	case s.Acked:
		text += ", which clients may have been told of: they are lost to the cluster"
	default:
		text += ", none of which was acknowledged"
	}
	if tables := s.Tables(); len(tables) > 0 {
		more := ""
		if n := len(tables) - tablesTold; n > 0 {
			more, tables = fmt.Sprintf(" and %d more", n), tables[:tablesTold]
		}
		text += "; tables: " + strings.Join(tables, ", ") + more
	}
	if n := s.unnamed(); s.Named && n > 0 {
		text += fmt.Sprintf("; %d relation%s made or rewritten since: no name here", n, plural(n))
	}
	if !s.Complete {
		text += "; not complete: " + strings.Join(s.Missing, "; ")
	}
	return text
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (s Summary) unnamed() (n int) {
	for _, r := range s.Relations {
		if r.Name == "" {
			n++
		}
	}
	return n
}
