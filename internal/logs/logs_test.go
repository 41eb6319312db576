package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/spec"
)

func TestStream(t *testing.T) {
	var out bytes.Buffer
	s, err := New(&out, spec.Log{Format: spec.LogJSON}, "n1")
	if err != nil {
		t.Fatal(err)
	}
	s.Debug("not told")
	if err := s.SetLevel("debug"); err != nil || s.Level() != "debug" {
		t.Fatal(err, s.Level())
	}
	s.With("part", "x").Debug("told")
	if err := s.SetLevel("loud"); err == nil || !strings.Contains(err.Error(), "debug, info, warn, error") || s.Level() != "debug" {
		t.Errorf("%v, %s", err, s.Level())
	}
	if err := s.SetLevel("error"); err != nil {
		t.Fatal(err)
	}
	s.Warn("not told either")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["msg"] != "told" || line["member"] != "n1" || line["level"] != "DEBUG" {
		t.Errorf("%v: %s", err, out.String())
	}
	out.Reset()
	if s, err = New(&out, spec.Log{}, "n1"); err != nil || s.Level() != "info" {
		t.Fatal(err)
	}
	if s.Info("text"); !strings.HasSuffix(out.String(), "level=INFO msg=text member=n1\n") {
		t.Error(out.String())
	}
	if _, err := New(&out, spec.Log{Level: "loud"}, "n1"); err == nil {
		t.Error("a level that is none")
	}
	if err := (Stream{}).SetLevel("debug"); err == nil {
		t.Error("a level of no log")
	}
}

// records keeps what was logged, "LEVEL text".
type records struct{ bytes.Buffer }

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func (r *records) wants(t *testing.T, what string, lines ...string) {
	t.Helper()
	if got := r.String(); got != strings.Join(append(lines, ""), "\n") {
		t.Errorf("%s: got\n%swant\n%s", what, got, strings.Join(lines, "\n"))
	}
	r.Reset()
}

func TestFollower(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postgres.log")
	write := func(text string, flag int) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flag, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	r := &records{}
	f := &Follower{Path: path, Log: r.logger()}
	f.look()
	r.wants(t, "no file")
	write("2026-11-28 UTC [1] LOG:  ready\n2026-11-28 UTC [2] ERROR:  no LOG:  here\n2026-11-28 UTC [2] STATEM", os.O_APPEND)
	f.look()
	r.wants(t, "lines, and half of one", `level=INFO msg="2026-11-28 UTC [1] LOG:  ready" source=postgres`, `level=WARN msg="2026-11-28 UTC [2] ERROR:  no LOG:  here" source=postgres`)
	write("ENT:  SELECT 1\n\tFROM x\n\nUTC [3] PANIC:  \xff\n", os.O_APPEND)
	f.look()
	r.wants(t, "the rest", `level=WARN msg="2026-11-28 UTC [2] STATEMENT:  SELECT 1" source=postgres`, `level=WARN msg="\tFROM x" source=postgres`, `level=ERROR msg="UTC [3] PANIC:  ?" source=postgres`)
	write("UTC [4] LOG:  after it was cut\n", os.O_TRUNC)
	f.look()
	r.wants(t, "a file that was cut", `level=INFO msg="UTC [4] LOG:  after it was cut" source=postgres`)
	write(strings.Repeat("x", lineBytesMax+10)+"\n", os.O_APPEND)
	f.look()
	if lines := strings.Count(r.String(), "\n"); lines != 1 || r.Len() > lineBytesMax+100 {
		t.Errorf("a long line is %d, of %d bytes", lines, r.Len())
	}
	r.Reset()
	write(strings.Repeat(strings.Repeat("y", 99)+"\n", 15_000), os.O_APPEND)
	f.look()
	if first, rest, _ := strings.Cut(r.String(), "\n"); !strings.Contains(first, "left_out_bytes=451424") || strings.Count(rest, "\n") > 11_000 {
		t.Errorf("too much at once: %.200s", r.String())
	}
}

// TestFollowerKeepsSecrets: the stream has no value of a parameter that people write access keys into, however PostgreSQL quotes it.
func TestFollowerKeepsSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postgres.log")
	r := &records{}
	f := &Follower{Path: path, Log: r.logger()}
	for line, want := range map[string]string{
		`LOG:  parameter "archive_command" changed to "put --key K3Y %p"`:                        `LOG:  parameter \"archive_command\" changed to `,
		`LOG:  parameter "acme.vault" changed to "K3Y"`:                                          `LOG:  parameter \"acme.vault\" changed to `,
		"LOG:  parameter \"restore_command\" changed to \"get \\\n\t--key K3Y\"":                 `LOG:  parameter \"restore_command\" changed to `,
		`DETAIL:  The failed archive command was: put --key K3Y pg_wal/1`:                        `DETAIL:  The failed archive command was: `,
		`WARNING:  recovery_end_command "tell --key K3Y": child process exited with exit code 1`: `WARNING:  recovery_end_command `,
		`DEBUG:  executing restore command "get --key K3Y"`:                                      `DEBUG:  executing restore command `,
	} {
		if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f.at = 0
		f.look()
		if got := r.String(); strings.Contains(got, "K3Y") || !strings.Contains(got, `msg="`+want+untold) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %s", line, got)
		}
		r.Reset()
	}
	// PostgreSQL writes a long line in pieces, and a look may come between them.
	for _, piece := range []string{`LOG:  parameter "archive_command" changed to "` + strings.Repeat("x", 2*lineBytesMax), "and a K3Y\"\n"} {
		f.lines([]byte(piece))
	}
	r.wants(t, "a long line", `level=INFO msg="LOG:  parameter \"archive_command\" changed to `+untold+`" source=postgres`)
	for _, line := range []string{`LOG:  parameter "work_mem" changed to "7MB"`, `LOG:  parameter "plpgsql.extra_errors" changed to "none"`, `LOG:  archive command failed with exit code 1`, `ERROR:  syntax error in command "x"`, "\tand what belongs to it"} {
		f.line(line)
		if got := r.String(); strings.Contains(got, "not told") || !strings.Contains(got, "msg=") {
			t.Errorf("%s: %s", line, got)
		}
		r.Reset()
	}
}

// TestFollowerBeginsAtTheEnd: what an earlier agent told is not told again, and what comes before the end is.
func TestFollowerBeginsAtTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postgres.log")
	if err := os.WriteFile(path, []byte("LOG:  old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &records{}
	f := &Follower{Path: path, Log: r.logger()}
	if !f.begin() {
		t.Fatal("it is a file")
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("LOG:  new\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.look()
	r.wants(t, "what came", `level=INFO msg="LOG:  new" source=postgres`)
	if err := (&Follower{Path: os.DevNull, Log: r.logger()}).Keep(context.Background()); err != nil {
		t.Fatal(err) // no regular file: it ends at once
	}
	if err := (&Follower{Path: path, Log: r.logger()}).Keep(ctx); err != nil {
		t.Fatal(err)
	}
}
