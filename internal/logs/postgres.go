package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

const (
	followEvery  = 500 * time.Millisecond
	followBytes  = 1 << 20 // at one look; what is more is left to the file
	lineBytesMax = 8 << 10
)

// Follower reads what PostgreSQL appends to its log, and writes each line into the stream with source=postgres. The file is
// somebody else's, who may cut it to nothing at any time.
type Follower struct {
	Path string
	Log  *slog.Logger

	at    int64 // read up to here
	rest  []byte
	level slog.Level // of the last line that had one: what is indented below belongs to it
	cut   bool       // of the last line: so does what is indented below
	more  bool       // the last one was a piece of a long line
}

// Keep follows until ctx ends.
func (f *Follower) Keep(ctx context.Context) error {
	if !f.begin() {
		return nil
	}
	for {
		f.look()
		select {
		case <-ctx.Done():
			f.look()
			return nil
		case <-time.After(followEvery):
		}
	}
}

// begin stands at the file's end: what is in it was told by the agent before. A container's stdout is in the stream already.
func (f *Follower) begin() (follow bool) {
	info, err := os.Stat(f.Path)
	if err != nil {
		return true
	}
	f.at = info.Size()
	return info.Mode().IsRegular()
}

// look takes what has come since the last one.
func (f *Follower) look() {
	file, err := os.Open(f.Path)
	if err != nil {
		return // not there yet
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	size := info.Size()
	if size < f.at {
		f.at, f.rest = 0, nil
	}
	if more := size - f.at; more > followBytes {
		f.Log.Warn("PostgreSQL's log grows faster than it is followed", "source", "postgres", "left_out_bytes", more-followBytes, "file", f.Path)
		f.at, f.rest = size-followBytes, nil
	}
	text := make([]byte, size-f.at)
	n, err := file.ReadAt(text, f.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return
	}
	f.at += int64(n)
	f.lines(text[:n])
}

func (f *Follower) lines(text []byte) {
	text = append(f.rest, text...)
	for {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		if !ended && len(text) <= lineBytesMax {
			f.rest = text
			return
		}
		if !ended {
			line, rest = text[:lineBytesMax], text[lineBytesMax:]
		}
		text = rest
		if len(line) > lineBytesMax {
			line = line[:lineBytesMax]
		}
		f.line(strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "?"))
		f.more = !ended
	}
}

// severities of PostgreSQL's lines, "... LOG:  ...".
var severities = []struct {
	word  string
	level slog.Level
}{
	{"LOG:  ", slog.LevelInfo}, {"INFO:  ", slog.LevelInfo}, {"NOTICE:  ", slog.LevelInfo}, {"WARNING:  ", slog.LevelWarn},
	{"ERROR:  ", slog.LevelWarn}, // a client's, as a rule
	{"FATAL:  ", slog.LevelWarn}, {"PANIC:  ", slog.LevelError}, {"DEBUG:  ", slog.LevelDebug},
}

const prefixBytesMax = 200 // a severity that comes later is a part of the text

func (f *Follower) line(text string) {
	if text == "" {
		return
	}
	if f.cut && (f.more || strings.HasPrefix(text, "\t")) {
		return
	}
	text, f.cut = withoutSecret(text)
	head := text[:min(len(text), prefixBytesMax)]
	first := len(head)
	for _, s := range severities {
		if at := strings.Index(head, s.word); at >= 0 && at < first {
			first, f.level = at, s.level
		}
	}
	f.Log.Log(context.Background(), f.level, text, "source", "postgres")
}
