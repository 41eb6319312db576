package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWallClockDecidesNothing stands in for moving this machine's clock by an hour,
// which would disturb everything else on it: what decides, leads and fences must have no way
// to ask the wall clock. Leases count on CLOCK_BOOTTIME, which nobody can set.
func TestWallClockDecidesNothing(t *testing.T) {
	wall := regexp.MustCompile(`\btime\.(Now|Since|Until)\(|CLOCK_REALTIME`)
	// Go's time.Now carries the monotonic clock as well; these use it for I/O timeouts only.
	timeouts := map[string]bool{"client.go": true, "server.go": true, "logs.go": true}
	for _, path := range []string{"core", "warden", "act/put_lease.go", "observe/store.go"} {
		path = filepath.Join("../../internal", path)
		files := []string{path}
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if info.IsDir() {
			files, _ = filepath.Glob(filepath.Join(path, "*.go"))
		}
		looked := 0
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || timeouts[filepath.Base(file)] {
				continue
			}
			looked++
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for n, line := range strings.Split(string(data), "\n") {
				code, _, _ := strings.Cut(line, "//")
				if wall.MatchString(code) {
					t.Errorf("%s:%d asks the wall clock: %s", file, n+1, strings.TrimSpace(line))
				}
			}
		}
		if looked == 0 {
			t.Errorf("nothing to look at in %s", path)
		}
	}
}
