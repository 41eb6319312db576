package demo

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	if _, _, _, err := openDirectory(dir, o); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("a directory with a file in it: %v", err)
	}
	if _, _, _, err := openDirectory(filepath.Join(dir, strings.Repeat("long", 20)), o); err == nil || !strings.Contains(err.Error(), "unix sockets") {
		t.Errorf("a long path: %v", err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if o.cred != nil {
		if _, _, _, err := openDirectory(filepath.Join(closed, "d"), o); err == nil || !strings.Contains(err.Error(), "cannot enter") {
			t.Errorf("below a closed directory: %v", err)
		}
	}
	got, lock, _, err := openDirectory(filepath.Join(dir, "new"), o)
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

// tree lists what is below dir, with the files' contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			found[path] = "directory"
			return err
		}
		data, err := os.ReadFile(path)
		found[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestDirectoryWithALayoutOfOthersStays: a file of the same name makes no demo of a
// directory, and whatever is wrong with a layout, nothing is removed.
func TestDirectoryWithALayoutOfOthersStays(t *testing.T) {
	good := layout{Mark: layoutMark, Members: []layoutMember{{Name: "n1", Ports: layPorts(20000, 1)[0]}}}
	change := func(f func(*layout)) string {
		l := good
		l.Members = slices.Clone(good.Members)
		f(&l)
		data, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for name, text := range map[string]string{
		"another program's": `{"rows": 3}`,
		"of members":        `{"members": []}`,
		"no JSON":           `layout:`,
		"empty":             ``,
		"no members":        change(func(l *layout) { l.Members = nil }),
		"no mark":           change(func(l *layout) { l.Mark = 0 }),
		"a path":            change(func(l *layout) { l.Members[0].Name = "../thesis" }),
		"a port twice":      change(func(l *layout) { l.Members[0].Ports.API = l.Members[0].Ports.Peer }),
		"no port":           change(func(l *layout) { l.Members[0].Ports.Store = 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := publicDir(t)
			for file, text := range map[string]string{layoutName: text, "thesis": "years of work"} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, dir)
			var stdout, stderr bytes.Buffer
			code := Run(t.Context(), Options{Dir: dir, NoTour: true, Exe: "/bin/true"}, &stdout, &stderr)
			if code != exitRefused || !strings.Contains(stderr.String(), "is not a demo's") || !strings.Contains(stderr.String(), "\nhint: ") {
				t.Errorf("exit %d, %s", code, stderr.String())
			}
			if after := tree(t, dir); !maps.Equal(before, after) {
				t.Errorf("before: %v, after: %v", before, after)
			}
		})
	}
}

// TestFailedOpenLeavesWhatWasThere: a directory that Open did not make stays.
func TestFailedOpenLeavesWhatWasThere(t *testing.T) {
	dir := publicDir(t)
	if _, err := Open(t.Context(), Config{Dir: dir, Nodes: 3, Port: 80, Exe: "/bin/true", Say: t.Logf}); err == nil {
		t.Fatal("port 80 was accepted")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func TestFailedOpenLeavesNoTemporaryDirectory(t *testing.T) {
	for name, parent := range map[string]string{"a long path": strings.Repeat("x", 80), "a closed parent": "closed"} {
		t.Run(name, func(t *testing.T) {
			o, err := findOwner()
			if err != nil {
				t.Fatal(err)
			}
			if parent == "closed" && o.cred == nil {
				t.Skip("the owner enters what is ours")
			}
			temp := filepath.Join(publicDir(t), parent)
			if err := os.Mkdir(temp, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", temp)
			if _, _, _, err := openDirectory("", o); err == nil {
				t.Fatal("it was accepted")
			}
			if left := tree(t, temp); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestDirectoryOfAnotherUserIsRefused(t *testing.T) {
	o, err := findOwner()
	if err != nil {
		t.Fatal(err)
	}
	if o.cred == nil {
		t.Skip("only root can give a directory away")
	}
	dir := publicDir(t)
	if err := os.Chown(dir, o.uid, o.gid); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := openDirectory(dir, o); err == nil || codeOf(err) != exitRefused || !strings.Contains(err.Error(), "another user") {
		t.Errorf("%v", err)
	}
}

// TestRemoveTakesOnlyItsOwn: a file that somebody put into the demo's directory stays.
func TestRemoveTakesOnlyItsOwn(t *testing.T) {
	dir := filepath.Join(publicDir(t), "d")
	c, err := Open(t.Context(), Config{Dir: dir, Nodes: 2, Exe: "/bin/true", Say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	c.note()
	c.Close()
	thesis := filepath.Join(dir, "thesis")
	for _, path := range []string{thesis, filepath.Join(dir, "n1", "deep"), filepath.Join(dir, "."+recordName+"-123")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Remove(); err != errOthersLeft {
		t.Errorf("with a thesis in it: %v", err)
	}
	if left := tree(t, dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
	if err := os.Remove(thesis); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// TestOnlyACertificateIsMadePublic: the owner of the state directory must not get a file
// of root's copied to where everybody reads it.
func TestOnlyACertificateIsMadePublic(t *testing.T) {
	c := testCluster(t, 1)
	pki := filepath.Join(c.members[0].stateDir(), "pki")
	if err := os.Mkdir(pki, 0o700); err != nil {
		t.Fatal(err)
	}
	source, public, secret := filepath.Join(pki, caName), filepath.Join(c.dir, caName), filepath.Join(c.dir, "secret")
	certificate := testCertificate(t)
	if err := os.WriteFile(secret, []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, source); err != nil {
		t.Fatal(err)
	}
	if err := c.copyCA(); err == nil {
		t.Error("a link was followed")
	}
	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}
	for text, fine := range map[string]bool{"root:x:0:0": false, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": false, "secret\n" + certificate: true} {
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(public)
		if err := c.copyCA(); (err == nil) != fine {
			t.Errorf("%.20q: %v", text, err)
		}
		if data, err := os.ReadFile(public); (err == nil) != fine || fine && string(data) != certificate {
			t.Errorf("public: %q %v", data, err)
		}
	}
}
