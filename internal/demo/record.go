package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
)

// Record is demo.json: what others script against. It holds no secret: the password is
// in DIR/pgpass, which the DSNs name.
type Record struct {
	WriteDSN string         `json:"write_dsn"`
	ReadDSN  string         `json:"read_dsn"`
	Members  []RecordMember `json:"members"`
}

// RecordMember is one member of demo.json. A PID is 0 while there is no such process.
type RecordMember struct {
	Name        string `json:"name"`
	Config      string `json:"config"`
	AgentPID    int    `json:"agent_pid"`
	WardenPID   int    `json:"warden_pid"`
	PostgresPID int    `json:"postgres_pid"` // the postmaster
	Port        int    `json:"port"`         // PostgreSQL's
	RWPort      int    `json:"rw_port,omitempty"`
	ROPort      int    `json:"ro_port,omitempty"`
}

// recordName is the file's name in the demo's directory.
const recordName = "demo.json"

// layout is what a second start needs to continue: DIR/layout.json. It is also the mark
// that the directory is a demo's: what it names is removed at the end.
type layout struct {
	Mark    int            `json:"pgherd_demo"` // layoutMark
	Members []layoutMember `json:"members"`
	Ready   bool           `json:"ready"` // every member has joined
}

type layoutMember struct {
	Name   string `json:"name"`
	Ports  Ports  `json:"ports"`
	Joined bool   `json:"joined"` // its pgherd.yaml is written
}

const (
	layoutName = "layout.json"
	layoutMark = 1 // the form's version
)

// writeJSON replaces a file as a whole: a reader sees the old one or the new one.
func writeJSON(path string, value any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // a DSN's & is for people and grep too
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return err
	}
	data := text.Bytes()
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return replaceFile(path, data, 0o644)
}

func replaceFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// withPIDs gives the record with the processes that live now.
func (r Record) withPIDs(found []process) Record {
	members := make([]RecordMember, len(r.Members))
	for i, m := range r.Members {
		m.AgentPID, m.WardenPID, m.PostgresPID = 0, 0, 0
		for _, p := range found {
			if p.member != m.Name {
				continue
			}
			switch p.kind {
			case kindAgent:
				m.AgentPID = p.pid
			case kindWarden:
				m.WardenPID = p.pid
			case kindPostmaster:
				m.PostgresPID = p.pid
			}
		}
		members[i] = m
	}
	r.Members = members
	return r
}
