package integration

import (
	"bytes"
	"os"
	"path/filepath"
)

const brokenLine = "this line is = = broken\n"

// breakConf adds a broken line to the user's own postgresql.conf.
func (m *member) breakConf() {
	m.c.t.Helper()
	m.editConf(func(b []byte) []byte { return append(b, brokenLine...) })
}

func (m *member) mendConf() {
	m.c.t.Helper()
	m.editConf(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(brokenLine), nil) })
}

func (m *member) editConf(change func([]byte) []byte) {
	m.c.t.Helper()
	path := filepath.Join(m.data(), "postgresql.conf")
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(data), 0o600)
	}
	if err != nil {
		m.c.t.Fatal(err)
	}
}

// loseData removes the member's data directory, as a lost disk would.
func (m *member) loseData() {
	m.c.t.Helper()
	if err := os.RemoveAll(m.data()); err != nil {
		m.c.t.Fatal(err)
	}
}
