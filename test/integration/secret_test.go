package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSecretsStaySecret: no token's secret, password or key in a log, a journal, a
// command line, an environment or a file that others can read.
func TestSecretsStaySecret(t *testing.T) {
	c := newCluster(t)
	first := c.add()
	first.init()
	first.start()
	first.waitState("running")
	c.appRole(first)
	second := c.add()
	file := second.tokenFrom(first)
	token, _ := os.ReadFile(file)
	secrets := []string{strings.Split(strings.TrimSpace(string(token)), ".")[1], password, "PRIVATE KEY"}
	if a := second.tryJoin(first, file); a.code != 0 {
		t.Fatal(a)
	}
	_ = os.Remove(file)
	second.start()
	seen := map[string]bool{}
	c.wait(healthyLimit, "a healthy cluster", func() bool {
		for _, p := range c.processes(nil) {
			seen[p.kind] = true
			for _, s := range secrets {
				if strings.Contains(p.title, s) {
					t.Errorf("%s has a secret in its command line", p.kind)
				}
				env, _ := os.ReadFile(filepath.Join("/proc", itoa(p.pid), "environ"))
				if strings.Contains(string(env), s) {
					t.Errorf("%s has a secret in its environment", p.kind)
				}
			}
		}
		return c.status().member(second.name).State == "streaming"
	})
	if !seen["agent"] || !seen["warden"] || !seen["tool"] {
		t.Errorf("only these processes were seen: %v", seen)
	}
	c.wait(10*time.Second, "rows in the journal", func() bool { return len(first.events()) > 3 })
	_ = filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/data/") {
			return nil
		}
		data, _ := os.ReadFile(path)
		info, _ := d.Info()
		open := info.Mode().Perm()&0o077 != 0
		log := strings.HasSuffix(path, ".log") || strings.Contains(path, "/journal/")
		for _, s := range secrets {
			if (log || open) && strings.Contains(string(data), s) {
				t.Errorf("%s (%v) holds a secret", path, info.Mode())
			}
		}
		return nil
	})
}
