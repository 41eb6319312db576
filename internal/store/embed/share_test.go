package embed_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/store/embed"
)

// What etcd itself says of a log and of a database full of garbage.
func TestDamagedShareIsRecognised(t *testing.T) {
	for _, damage := range []struct {
		name, pattern string
		at            int64
		bytes         int
	}{
		{"log", "member/wal/*.wal", 100, 8},            // within a record: what looks like a torn end is mended by etcd
		{"database", "member/snap/db", 8 << 10, toEnd}, // all but the two meta pages: which others are in use depends on the history
		{"database header", "member/snap/db", 0, 8 << 10},
	} {
		t.Run(damage.name, func(t *testing.T) {
			c := newCluster(t, "n1")
			c.stop("n1")
			cfg := c.config("n1")
			files, _ := filepath.Glob(filepath.Join(cfg.Dir, damage.pattern))
			if len(files) == 0 {
				t.Fatal("nothing to damage")
			}
			for _, file := range files {
				spoil(t, file, damage.at, damage.bytes)
			}
			if _, err := embed.Start(ctx(t), cfg); !errors.Is(err, embed.ErrDamaged) {
				t.Fatalf("%v", err)
			}
			to, err := cfg.SetAside("damaged")
			if _, gone := os.Stat(to); err != nil || gone != nil || cfg.HasData() {
				t.Errorf("set aside: %v %v", err, gone)
			}
		})
	}
}

const toEnd = -1 // of the file

func spoil(t *testing.T, file string, at int64, bytes int) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes == toEnd {
		bytes = int(info.Size() - at)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte(strings.Repeat("\xa5", bytes)), at)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// One of three is left, and its records can be read, though nobody can agree on anything any more.
func TestLocalNeedsNoQuorum(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	s := c.dial("n1")
	if _, err := s.Put(ctx(t), "lease", []byte("4"), 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n2", "n3", "n1"} {
		c.stop(name)
	}
	left := c.restart("n1")
	got, err := left.Local(ctx(t), "/pgherd/test/")
	if err != nil || string(got.Entries["lease"].Value) != "4" || got.Revision < got.Entries["lease"].Revision {
		t.Errorf("%+v %v", got, err)
	}
	if v := left.Voters(); !slices.Equal(v, []string{"n1", "n2", "n3"}) {
		t.Errorf("voters %v", v)
	}
	select {
	case <-left.Ready():
		t.Error("it serves alone")
	default:
	}
}
