package ui

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuild makes the dashboard anew from its sources, in a copy, and holds the files that are kept here against it; the
// sources' own tests run on the way.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("it installs what package-lock.json names")
	}
	root := t.TempDir()
	work := filepath.Join(root, "ui")
	copySources(t, filepath.Join("..", "..", "ui"), work)
	npm(t, work, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	for _, script := range []string{"check", "test", "build"} {
		npm(t, work, "run", script)
	}
	made := files(t, filepath.Join(root, "internal", "ui", "dist"))
	kept := files(t, "dist")
	for name := range made {
		if !bytes.Equal(made[name], kept[name]) {
			t.Errorf("dist/%s is not what ui/ makes: `make ui` and commit it", name)
		}
	}
	for name := range kept {
		if made[name] == nil {
			t.Errorf("dist/%s is left over: `make ui` and commit it", name)
		}
	}
}

func npm(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("npm", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("npm %s: %v (`make deps` installs npm)\n%s", strings.Join(args, " "), err, out)
	}
	t.Logf("npm %s\n%s", strings.Join(args, " "), out)
}

func copySources(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		switch {
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".test"):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		found[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
