package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	o, err := findOwner()
	if err != nil {
		t.Fatal(err)
	}
	dir := publicDir(t)
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openDirectory(dir, o); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("a directory with a file in it: %v", err)
	}
	if _, _, err := openDirectory(filepath.Join(dir, strings.Repeat("long", 20)), o); err == nil || !strings.Contains(err.Error(), "unix sockets") {
		t.Errorf("a long path: %v", err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if o.cred != nil {
		if _, _, err := openDirectory(filepath.Join(closed, "d"), o); err == nil || !strings.Contains(err.Error(), "cannot enter") {
			t.Errorf("below a closed directory: %v", err)
		}
	}
	got, lock, err := openDirectory(filepath.Join(dir, "new"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if got != filepath.Join(dir, "new") {
		t.Errorf("the directory is %s", got)
	}
}

func TestFailedOpenLeavesNothing(t *testing.T) {
	dir := filepath.Join(publicDir(t), "d")
	_, err := Open(t.Context(), Config{Dir: dir, Nodes: 3, Port: 80, Exe: "/bin/true", Say: t.Logf})
	if err == nil {
		t.Fatal("port 80 was accepted")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
