package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const status = `Package: libstdc++6
Status: install ok installed
Source: gcc-14 (14.2.0-19)
Architecture: amd64
Version: 14.2.0-19+b1
Description: a library
 with more text: and a colon
Conffiles:
 /etc/x 00

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: base-files
Status: install ok installed
Architecture: amd64
Version: 1:13.8+deb13u1
`

func rootWith(t *testing.T, status string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{"etc/os-release": "NAME=\"Debian\"\nVERSION_ID=\"13\"\n", "var/lib/dpkg/status": status} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestBill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := rootWith(t, status)
	b, err := compose(root, self, "0.1.0", "2026-11-28T00:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	var debs []string
	for _, c := range b.Components {
		if strings.HasPrefix(c.PURL, "pkg:deb/") {
			debs = append(debs, c.PURL)
		}
	}
	want := []string{"pkg:deb/debian/base-files@1:13.8%2Bdeb13u1?arch=amd64&distro=debian-13",
		"pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=debian-13&upstream=gcc-14"}
	if !slices.Equal(debs, want) {
		t.Errorf("got %v", debs)
	}
	if last := b.Components[len(b.Components)-1]; !strings.HasPrefix(last.PURL, "pkg:golang/") {
		t.Errorf("nothing of Go is in it: %v", last)
	}
	one, _ := json.Marshal(b)
	again, err := compose(root, self, "0.1.0", "2026-11-28T00:00:00Z")
	if two, _ := json.Marshal(again); err != nil || string(one) != string(two) {
		t.Errorf("another time it is another: %v", err)
	}
}

// A root without packages, or what is no root, makes no bill that says that nothing is in it.
func TestNothingIsNoBill(t *testing.T) {
	self, _ := os.Executable()
	for what, root := range map[string]string{"no root": t.TempDir(), "empty": rootWith(t, ""), "none installed": rootWith(t, "Package: gone\nStatus: deinstall ok config-files\n")} {
		if _, err := compose(root, self, "1", "d"); err == nil {
			t.Errorf("%s: a bill was made", what)
		}
	}
	if _, err := compose(rootWith(t, status), "/dev/null", "1", "d"); err == nil {
		t.Error("of no binary")
	}
}
