package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/test/ports"
)

// pgbouncer is a program that says that it is one, of some version.
func pgbouncer(t *testing.T, version string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "pgbouncer")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho PgBouncer "+version+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInitWritesEndpoints: where there is a PgBouncer that is good enough, a member has endpoints unless it is
// told otherwise; one that was named and is none is a refusal.
func TestInitWritesEndpoints(t *testing.T) {
	dir := shortDir(t)
	free := []int{ports.Free(t), ports.Free(t)}
	bin := pgbouncer(t, "1.25.2")
	args := slices.DeleteFunc(flags(t, dir, "n1"), func(a string) bool { return a == "--no-endpoints" })
	for name, c := range map[string]struct {
		more []string
		says string
	}{
		"none":    {[]string{"--pgbouncer", filepath.Join(dir, "none")}, "--no-endpoints"},
		"too old": {[]string{"--pgbouncer", pgbouncer(t, "1.18.0")}, "--no-endpoints"},
	} {
		if _, stderr, code := run("", with([]string{"init"}, with(args, c.more...)...)...); code != ExitRefused || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: %d %s", name, code, stderr)
		}
	}
	args = with(args, "--pgbouncer", bin, "--rw-port", strconv.Itoa(free[0]), "--ro-port", strconv.Itoa(free[1]))
	if _, stderr, code := run("", with([]string{"init"}, args...)...); code != ExitDone || strings.Contains(stderr, "endpoints") {
		t.Fatalf("%d %s", code, stderr)
	}
	m, err := spec.Load(filepath.Join(dir, "n1.yaml"))
	if err != nil || m.Listen.RW != "0.0.0.0:"+strconv.Itoa(free[0]) || m.Listen.RO != "0.0.0.0:"+strconv.Itoa(free[1]) || m.Pooler.Bin != bin {
		t.Errorf("%+v %v", m, err)
	}
	args = flags(t, dir, "n2")
	if _, stderr, code := run("", with([]string{"init"}, args...)...); code != ExitDone {
		t.Fatalf("%d %s", code, stderr)
	}
	if m, err := spec.Load(filepath.Join(dir, "n2.yaml")); err != nil || m.Listen.RW != "" || m.Listen.RO != "" {
		t.Errorf("--no-endpoints: %+v %v", m, err)
	}
}
