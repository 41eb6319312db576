package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestInstallCrashPoints crashes InstallClone after each of its steps, and again
// after each step of the FinishClone that follows, and checks that the next
// FinishClone ends with the new directory in place and the old one aside.
func TestInstallCrashPoints(t *testing.T) {
	for _, separateWal := range []bool{false, true} {
		crashes := 0
		for ; installWithCrashes(t, separateWal, crashes, -1); crashes++ {
			for second := 0; installWithCrashes(t, separateWal, crashes, second); second++ {
			}
		}
		if want := 4; crashes < want {
			t.Errorf("separate WAL %v: only %d crash points were met", separateWal, crashes)
		}
	}
}

var errCrash = errors.New("crash")

// crashAt makes the n-th crash point panic; n < 0 means none.
func crashAt(n int) {
	crashPoint = func() {
		if n == 0 {
			crashPoint = func() {}
			panic(errCrash)
		}
		n--
	}
}

func attempt(f func() error) (crashed bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errCrash { //nolint:errorlint // our own value
				panic(r)
			}
			crashed = true
		}
	}()
	return false, f()
}

// installWithCrashes reports whether the last crash asked for was met.
func installWithCrashes(t *testing.T, separateWal bool, first, second int) bool {
	t.Helper()
	t.Cleanup(func() { crashPoint = func() {} })
	in := installFixture(t, separateWal)
	crashAt(first)
	met, err := attempt(func() error { return InstallClone(in) })
	check(t, err)
	if met && second >= 0 {
		crashAt(second)
		met, err = attempt(func() error { return FinishClone(in) })
		check(t, err)
	}
	crashAt(-1)
	check(t, FinishClone(in))
	check(t, FinishClone(in))
	checkInstalled(t, in, fmt.Sprintf("wal %v, crashes %d, %d", separateWal, first, second))
	return met
}

func installFixture(t *testing.T, separateWal bool) Instance {
	dir := testDir(t)
	in := Instance{DataDir: filepath.Join(dir, "data")}
	if separateWal {
		in.WalDir = filepath.Join(dir, "wal")
	}
	fill := func(suffix, content string) {
		data, walDir := in.DataDir+suffix, filepath.Join(in.DataDir+suffix, "pg_wal")
		check(t, os.Mkdir(data, 0o700))
		if separateWal {
			walDir = in.WalDir + suffix
			check(t, os.Symlink(walDir, filepath.Join(data, "pg_wal")))
		}
		check(t, os.Mkdir(walDir, 0o700))
		check(t, os.WriteFile(filepath.Join(data, "who"), []byte(content), 0o600))
		check(t, os.WriteFile(filepath.Join(walDir, "who"), []byte(content), 0o600))
	}
	fill("", "old")
	fill(".clone", "new")
	check(t, cloneOf(in).complete())
	check(t, os.WriteFile(rewindingFile(in), nil, 0o600))
	return in
}

func checkInstalled(t *testing.T, in Instance, what string) {
	t.Helper()
	stamps := must(AsideStamps(in))(t)
	if len(stamps) != 1 {
		t.Fatalf("%s: set aside: %v", what, stamps)
	}
	for dir, want := range map[string]string{in.DataDir: "new", in.DataDir + asideInfix + stamps[0]: "old"} {
		for _, path := range []string{"who", "pg_wal/who"} {
			if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(got) != want {
				t.Errorf("%s: %s/%s is %q (%v), want %q", what, dir, path, got, err, want)
			}
		}
	}
	b := cloneOf(in)
	for _, path := range []string{b.dataDir(), b.completeFile(), b.installingFile(), rewindingFile(in)} {
		if there, err := exists(path); there || err != nil {
			t.Errorf("%s: %s is left (%v)", what, path, err)
		}
	}
}

// TestFinishCloneLeavings: half a copy goes, a whole one that nobody installs stays.
func TestFinishCloneLeavings(t *testing.T) {
	in := installFixture(t, true)
	check(t, FinishClone(in))
	if ready := must(CloneReady(in))(t); !ready {
		t.Error("a whole clone was removed")
	}
	check(t, os.Remove(cloneOf(in).completeFile()))
	check(t, FinishClone(in))
	for _, dir := range []string{in.DataDir + ".clone", in.WalDir + ".clone"} {
		if there := must(exists(dir))(t); there {
			t.Errorf("%s is left", dir)
		}
	}
	if got := must(os.ReadFile(in.path("who")))(t); string(got) != "old" {
		t.Errorf("data directory: %s", got)
	}
}

func TestRemoveAside(t *testing.T) {
	in := installFixture(t, true)
	for _, stamp := range []string{"20260101T000000Z", "20260301T000000Z", "20260201T000000Z"} {
		check(t, os.Mkdir(in.DataDir+asideInfix+stamp, 0o700))
		check(t, os.Mkdir(in.WalDir+asideInfix+stamp, 0o700))
	}
	check(t, RemoveAside(in, "20260201T000000Z"))
	check(t, RemoveAside(in, "../data")) // nothing is called so
	if stamps := must(AsideStamps(in))(t); len(stamps) != 2 || stamps[0] != "20260101T000000Z" || stamps[1] != "20260301T000000Z" {
		t.Errorf("kept: %v", stamps)
	}
	check(t, SweepAside(in))
	if left := must(filepath.Glob(in.DataDir + "*20260201*"))(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if there := must(exists(in.DataDir))(t); !there {
		t.Error("the data directory is gone")
	}
}

// TestInitDBResumes: an initdb interrupted before its renames begins anew, one
// interrupted between them is finished, and neither leaves a half.
func TestInitDBResumes(t *testing.T) {
	ctx := testContext(t)
	dir := testDir(t)
	in := Instance{BinDir: testBinDir(t), DataDir: filepath.Join(dir, "data"), WalDir: filepath.Join(dir, "wal")}
	check(t, os.Mkdir(in.DataDir+".init", 0o700))
	check(t, os.WriteFile(in.DataDir+".init/half", nil, 0o600))
	check(t, os.Mkdir(in.WalDir, 0o700)) // an empty directory prepared by the administrator
	t.Cleanup(func() { crashPoint = func() {} })
	crashAt(3)
	crashed, err := attempt(func() error { return in.InitDB(ctx, InitOptions{NoSync: true}) })
	check(t, err)
	if !crashed {
		t.Fatal("the crash point was not met")
	}
	if state, _, _, err := DataState(in); state != DirAbsent || err != nil {
		t.Errorf("after the crash: %s %v", state, err)
	}
	check(t, in.InitDB(ctx, InitOptions{NoSync: true}))
	if state, _, _, err := DataState(in); state != DirPresent || err != nil {
		t.Errorf("in the end: %s %v", state, err)
	}
	if link := must(os.Readlink(in.path("pg_wal")))(t); link != in.WalDir {
		t.Errorf("pg_wal: %s", link)
	}
	if stamps := must(AsideStamps(in))(t); len(stamps) != 0 {
		t.Errorf("set aside: %v", stamps)
	}
}
