package pooler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Refusals. Each text ends with what to do about it.
var (
	ErrMissing    = errors.New("PgBouncer is not installed: install the package pgbouncer, version 1.21 or newer (best 1.25.2), or name the program")
	ErrTooOld     = errors.New("PgBouncer is too old: 1.21 or newer is needed, best 1.25.2; Debian 12's own is 1.18, PostgreSQL's repository apt.postgresql.org has newer ones")
	ErrNotRunning = errors.New("PgBouncer does not run")
)

// Before 1.21 there are no prepared statements in transaction mode, and crashes that were repaired
// there. From 1.24 on single clients can be ended.
const (
	minimumMinor    = 21
	killClientMinor = 24
)

// places are where PgBouncer is when it is not in PATH; the last is made by scripts/deps.sh.
var places = []string{"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/usr/local/lib/pgherd/pgbouncer"}

// Find gives the program at bin or, when that is empty, the first that is new enough, in PATH
// and the usual places.
func Find(bin string) (path string, v Version, err error) {
	if bin != "" {
		v, err = versionOf(bin)
		return bin, v, err
	}
	candidates := places
	if inPath, err := exec.LookPath("pgbouncer"); err == nil {
		candidates = append([]string{inPath}, places...)
	}
	found := error(ErrMissing)
	for _, c := range candidates {
		v, err := versionOf(c)
		switch {
		case err == nil:
			return c, v, nil
		case !errors.Is(err, ErrMissing) && errors.Is(found, ErrMissing): // the first that is there says what is wrong
			found = err
		}
	}
	return "", Version{}, found
}

var versionText = regexp.MustCompile(`PgBouncer (\d+)\.(\d+)(?:\.(\d+))?`)

func versionOf(bin string) (Version, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "--version")
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return Version{}, fmt.Errorf("%s: %w", bin, ErrMissing)
	}
	v, ok := parseVersion(string(out))
	if err != nil || !ok {
		return Version{}, fmt.Errorf("%s --version: %v: %.200s", bin, err, out)
	}
	if !v.AtLeast(1, minimumMinor) {
		return v, fmt.Errorf("%s is %s: %w", bin, v, ErrTooOld)
	}
	return v, nil
}

// parseVersion reads what --version and SHOW VERSION say.
func parseVersion(text string) (v Version, ok bool) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return v, false
	}
	v.Major, _ = strconv.Atoi(m[1])
	v.Minor, _ = strconv.Atoi(m[2])
	v.Patch, _ = strconv.Atoi(m[3])
	return v, true
}

// environment is all that PgBouncer gets of ours: neither PG* of an operator's shell nor what
// systemd meant for the agent alone (PgBouncer would report READY for it).
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
