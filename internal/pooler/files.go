package pooler

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// logBytesMax is when the log is cut: it then stands in a second file, once.
const logBytesMax = 4 << 20

// makeDir makes Dir, closed to others: who may reach the socket in it is the administrator.
func (c Config) makeDir() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("pooler: %w", err)
	}
	if err := os.Chmod(c.Dir, 0o700); err != nil {
		return fmt.Errorf("pooler: %w", err)
	}
	return nil
}

// writeINI replaces the file whole, if it differs. (It need not survive a power cut: whoever
// starts PgBouncer writes it first.)
func (c Config) writeINI(text []byte) error {
	path := c.path(iniFile)
	if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, text) {
		return nil
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("pooler: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("pooler: %w", err)
	}
	return nil
}

// fingerprint tells whether PgBouncer has to read its files again: the configuration's text, or
// a certificate that was renewed under its name.
func (c Config) fingerprint(text []byte) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	h.Write(text)
	for _, path := range []string{c.CertFile, c.KeyFile, c.CAFile} {
		data, err := os.ReadFile(path)
		if err != nil {
			return sum, fmt.Errorf("pooler: %w", err)
		}
		fmt.Fprintf(h, "%d\n", len(data))
		h.Write(data)
	}
	h.Sum(sum[:0])
	return sum, nil
}

// trimLog keeps the log's size within bounds: PgBouncer appends, and so goes on at the beginning
// of a file that was cut. What it writes between the copy and the cut is lost.
func (c Config) trimLog() {
	path := c.path(logFile)
	info, err := os.Stat(path)
	if err != nil || info.Size() < logBytesMax {
		return
	}
	if data, err := os.ReadFile(path); err == nil {
		_ = os.WriteFile(path+".1", data[max(0, len(data)-logBytesMax):], 0o600)
	}
	_ = os.Truncate(path, 0)
}

// lastWords is what a PgBouncer that did not start said.
func (c Config) lastWords() string {
	for _, name := range []string{startFile, logFile} {
		data, _ := os.ReadFile(c.path(name))
		lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		if last := string(bytes.Join(lines[max(0, len(lines)-3):], []byte("; "))); last != "" {
			return last
		}
	}
	return "it said nothing"
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pooler: %w", err)
	}
	return nil
}
