package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The majors this package is written for. A newer one is accepted (the catalogues
// rarely lose columns), an older one is refused.
const (
	MajorMin    = 14
	MajorTested = 18
)

// Version is what `postgres --version` says.
type Version struct {
	Major, Minor int
	Text         string // the whole line
}

// String gives "15.20".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// binPatterns are the places where packages put PostgreSQL.
var binPatterns = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}

// FindBinDir gives want when it holds PostgreSQL's programs, or, when want is
// empty, the newest PostgreSQL of this machine. Versions before 14 are refused.
func FindBinDir(want string) (dir string, v Version, err error) {
	if want != "" {
		v, err = checkBinDir(want)
		return want, v, err
	}
	for _, candidate := range binCandidates() {
		cv, cerr := checkBinDir(candidate)
		if cerr != nil {
			err = cerr
			continue
		}
		if dir == "" || cv.Major > v.Major || cv.Major == v.Major && cv.Minor > v.Minor {
			dir, v = candidate, cv
		}
	}
	switch {
	case dir != "":
		return dir, v, nil
	case err != nil:
		return "", Version{}, err
	}
	return "", Version{}, fmt.Errorf("no PostgreSQL found in %s or PATH; install one (%d or newer) or set postgres.bin_dir",
		strings.Join(binPatterns, ", "), MajorMin)
}

func binCandidates() []string {
	var dirs []string
	for _, pattern := range binPatterns {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if fi, err := os.Stat(filepath.Join(dir, "postgres")); err == nil && fi.Mode().IsRegular() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func checkBinDir(dir string) (Version, error) {
	for _, program := range []string{"postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_waldump"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return Version{}, fmt.Errorf("%s is not a PostgreSQL bin directory: %w", dir, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Version{}, fmt.Errorf("%s/postgres --version: %w", dir, err)
	}
	v, err := ParseVersion(string(out))
	if err == nil && v.Major < MajorMin {
		err = fmt.Errorf("%s holds PostgreSQL %s; pgherd needs %d or newer", dir, v, MajorMin)
	}
	return v, err
}

// ParseVersion reads "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", and
// "18beta1" as 18.0.
func ParseVersion(line string) (Version, error) {
	line = strings.TrimSpace(line)
	_, rest, ok := strings.Cut(line, ") ")
	if !ok {
		return Version{}, fmt.Errorf("cannot read a PostgreSQL version from %q", line)
	}
	number, _, _ := strings.Cut(rest, " ")
	majorText := leadingDigits(number)
	major, err := strconv.Atoi(majorText)
	if err != nil {
		return Version{}, fmt.Errorf("cannot read a PostgreSQL version from %q", line)
	}
	v := Version{Major: major, Text: line}
	if after, ok := strings.CutPrefix(number[len(majorText):], "."); ok {
		v.Minor, _ = strconv.Atoi(leadingDigits(after))
	}
	return v, nil
}

func leadingDigits(s string) string {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	return s[:end]
}
