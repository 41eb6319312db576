package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// TestInitFollowsNoLink: what a link points to is neither written nor given away.
func TestInitFollowsNoLink(t *testing.T) {
	for name, plant := range map[string]func(state, victim string) error{
		"state_dir": func(state, victim string) error { return os.Symlink(victim, state) },
		"pki": func(state, victim string) error {
			return errors.Join(os.Mkdir(state, 0o700), os.WriteFile(filepath.Join(state, "unfinished"), nil, 0o600), os.Symlink(victim, filepath.Join(state, "pki")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shortDir(t)
			victim := filepath.Join(dir, "victim")
			if err := errors.Join(os.Mkdir(victim, 0o755), plant(filepath.Join(dir, "n1"), victim)); err != nil {
				t.Fatal(err)
			}
			_, stderr, code := run("", with([]string{"init"}, flags(t, dir, "n1")...)...)
			if code != ExitRefused || !strings.Contains(stderr, "is a link") {
				t.Errorf("%d %s", code, stderr)
			}
			untouched(t, victim)
		})
	}
}

func untouched(t *testing.T, victim string) {
	t.Helper()
	info, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o755 || int(st.Uid) != os.Geteuid() {
		t.Errorf("the victim has mode %s and belongs to %d", info.Mode(), st.Uid)
	}
	if entries, err := os.ReadDir(victim); err != nil || len(entries) > 0 {
		t.Errorf("the victim holds %v, %v", entries, err)
	}
}

// TestLinkPlantedAfterTheCheck: the check is not what keeps links out.
func TestLinkPlantedAfterTheCheck(t *testing.T) {
	dir := shortDir(t)
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "state")
	if err := errors.Join(os.Mkdir(victim, 0o755), os.Symlink(victim, link)); err != nil {
		t.Fatal(err)
	}
	if err := makeStateDir(link); err == nil || codeOf(err, ExitFailed) != ExitRefused {
		t.Errorf("%v", err)
	}
	if os.Geteuid() == 0 {
		s := &setup{user: "postgres"}
		s.m.StateDir = link
		for _, name := range []string{"pki", "cluster.json", "unfinished"} {
			if err := os.WriteFile(filepath.Join(victim, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(filepath.Join(victim, name))
		}
		if err := s.chown(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"pki", "cluster.json", "unfinished"} {
			os.Remove(filepath.Join(victim, name))
		}
	}
	untouched(t, victim)
}

// TestSetupUnderAClosedUmask: the agent's user must get at what it needs, and only that.
func TestSetupUnderAClosedUmask(t *testing.T) {
	c := newCluster(t)
	token, _, _ := c.run("token", "create")
	before := syscall.Umask(0o077)
	defer syscall.Umask(before)
	for _, command := range [][]string{{"init"}, {"join", c.s.Addr().String(), "--token-file", "-"}} {
		syscall.Umask(0o077)
		dir := filepath.Join(c.dir, command[0])
		state, etc, pg := filepath.Join(dir, "lib", "n4"), filepath.Join(dir, "etc"), filepath.Join(dir, "srv", "pg")
		args := with(flags(t, dir, "n4"), "--state-dir", state, "--config", filepath.Join(etc, "pgherd.yaml"), "--data-dir", filepath.Join(pg, "data"))
		if _, stderr, code := run(token, with(command, args...)...); code != ExitDone {
			t.Fatalf("%s: %d %s", command[0], code, stderr)
		}
		for _, path := range []string{dir, filepath.Dir(state), etc, filepath.Dir(pg), pg} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("%s: %v %v", path, info.Mode(), err)
			}
		}
		if info, err := os.Stat(filepath.Join(etc, "pgherd.yaml")); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("pgherd.yaml: %v %v", info.Mode(), err)
		}
		ownedAndSecret(t, state)
	}
}

func TestFreshVolume(t *testing.T) {
	dir := shortDir(t)
	data := filepath.Join(dir, "pgdata")
	if err := os.MkdirAll(filepath.Join(data, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	args := with([]string{"init"}, flags(t, dir, "n1")...)
	if _, stderr, code := run("", with(args, "--data-dir", "/proc")...); code != ExitRefused || !strings.Contains(stderr, "use a directory inside it") {
		t.Errorf("a mount point: %d %s", code, stderr)
	}
	if _, stderr, code := run("", with(args, "--data-dir", data)...); code != ExitDone {
		t.Errorf("only lost+found: %d %s", code, stderr)
	}
}

// refusing does not write the record of n4.
type refusing struct{ store.Store }

func (r refusing) Put(ctx context.Context, key string, value []byte, expect int64) (int64, error) {
	if key == records.MemberPrefix+"n4" {
		return 0, store.ErrConflict
	}
	return r.Store.Put(ctx, key, value, expect)
}

// TestJoinThatSpentItsToken: that is no refusal.
func TestJoinThatSpentItsToken(t *testing.T) {
	c := newCluster(t, func(b *api.Backend) { b.Store = refusing{b.Store} })
	token, _, _ := c.run("token", "create")
	_, stderr, code := run(token, with([]string{"join", c.s.Addr().String(), "--token-file", "-"}, flags(t, c.dir, "n4")...)...)
	if code != ExitFailed || !strings.Contains(stderr, "its token is spent") || !strings.Contains(stderr, "\nhint: make a new token and join again") {
		t.Errorf("%d %s", code, stderr)
	}
}

// TestWitnessOfAnExternalStore: it is refused while nothing is spent.
func TestWitnessOfAnExternalStore(t *testing.T) {
	c := newCluster(t, func(b *api.Backend) {
		b.StoreEndpoints = func() []string { return []string{"https://10.0.0.9:2379"} }
	})
	token, _, _ := c.run("token", "create", "--witness")
	dir := c.dir
	args := flags(t, dir, "w1")
	_, stderr, code := run(token, with([]string{"join", c.s.Addr().String(), "--token-file", "-", "--witness"}, args...)...)
	if code != ExitRefused || !strings.Contains(stderr, "votes only in the embedded one") {
		t.Errorf("%d %s", code, stderr)
	}
	if _, err := os.Lstat(filepath.Join(dir, "w1")); !os.IsNotExist(err) {
		t.Errorf("something is written: %v", err)
	}
}
