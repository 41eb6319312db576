package cli

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestViewerCreate writes a pair that belongs together, renews it in place, and leaves nothing half done.
func TestViewerCreate(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	var before []byte
	for range 2 {
		out, errs, code := c.run("viewer", "create", "prometheus", "--dir", dir)
		if code != ExitDone || !strings.Contains(out, filepath.Join(dir, "prometheus.key")) {
			t.Fatalf("%d %s %s", code, out, errs)
		}
		if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "prometheus.crt"), filepath.Join(dir, "prometheus.key")); err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]os.FileMode{"prometheus.key": 0o600, "prometheus.crt": 0o644, "pgherd-ca.crt": 0o644} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		now, _ := os.ReadFile(filepath.Join(dir, "prometheus.crt"))
		if string(now) == string(before) {
			t.Error("it was not renewed")
		}
		before = now
	}
	if files, _ := os.ReadDir(dir); len(files) != 3 {
		t.Errorf("left behind: %v", files)
	}
	for _, args := range [][]string{{"Not a name"}, {"prometheus", "--dir", filepath.Join(dir, "nowhere")}, {}} {
		if _, _, code := c.run(append([]string{"viewer", "create"}, args...)...); code != ExitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

// TestRenewedFilesKeepTheirOwner: Prometheus runs as another user than who renews its certificate.
func TestRenewedFilesKeepTheirOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a file away")
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || ownerOf(info) != 65534 {
		t.Errorf("%v, %v", info, err)
	}
}

func ownerOf(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }
