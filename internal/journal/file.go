package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// file is a file of lines, rotated by size: path, path.1 (older), path.2, ...
type file struct {
	path     string
	bytesMax int64
	files    int // with path itself

	open  *os.File
	bytes int64
}

// append writes one line. After an error the file is opened anew, so that a disk
// that was full for a while does no lasting harm.
func (f *file) append(data []byte) error {
	if err := f.ready(int64(len(data))); err != nil {
		return err
	}
	n, err := f.open.Write(data)
	f.bytes += int64(n)
	if err != nil {
		f.close()
	}
	return err
}

func (f *file) ready(more int64) error {
	if f.open != nil && f.bytes+more > f.bytesMax {
		f.close()
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.open != nil {
		return nil
	}
	open, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.open = open
	f.bytes, err = open.Seek(0, io.SeekEnd)
	if err == nil && f.bytes > 0 {
		err = f.endLine()
	}
	return err
}

// endLine closes a line that a crash or a full disk cut, so that it spoils no other.
func (f *file) endLine() error {
	last := make([]byte, 1)
	if _, err := f.open.ReadAt(last, f.bytes-1); err != nil || last[0] == '\n' {
		return err
	}
	n, err := f.open.Write([]byte("\n"))
	f.bytes += int64(n)
	return err
}

func (f *file) rotate() error {
	for i := f.files - 1; i > 0; i-- {
		if err := os.Rename(f.name(i-1), f.name(i)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func (f *file) name(i int) string {
	if i == 0 {
		return f.path
	}
	return fmt.Sprintf("%s.%d", f.path, i)
}

func (f *file) close() {
	if f.open != nil {
		_ = f.open.Close() // nothing depends on it
		f.open = nil
	}
}

// tail gives the last whole lines of file i, at most bytesMax bytes of them.
func (f *file) tail(i int, bytesMax int64) [][]byte {
	r, err := os.Open(f.name(i))
	if err != nil {
		return nil
	}
	defer r.Close()
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	from := max(0, size-bytesMax)
	data, err := io.ReadAll(io.NewSectionReader(r, from, size-from))
	if err != nil {
		return nil
	}
	lines := bytes.Split(data, []byte("\n"))
	if from > 0 && len(lines) > 0 {
		lines = lines[1:] // cut at its beginning
	}
	return lines
}

// marshal gives a line. An entry that cannot be written as JSON is a line that says so.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		data, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return append(data, '\n')
}

// lastEntry finds the newest entry that can be read.
func lastEntry(f *file) (Entry, bool) {
	for i := range 2 {
		lines := f.tail(i, 512<<10)
		for n := len(lines) - 1; n >= 0; n-- {
			var e Entry
			if json.Unmarshal(lines[n], &e) == nil && !e.At.IsZero() {
				return e, true
			}
		}
	}
	return Entry{}, false
}

// readEvents gives the newest events, oldest first.
func readEvents(f *file) []Event {
	var events []Event
	for i := f.files - 1; i >= 0; i-- {
		for _, l := range f.tail(i, f.bytesMax) {
			var e Event
			if len(l) > 0 && json.Unmarshal(l, &e) == nil && e.Code != "" {
				events = append(events, e)
			}
		}
	}
	return events[max(0, len(events)-eventsKept):]
}
