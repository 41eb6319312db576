package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/agent"
	"github.com/pgherd/pgherd/internal/pki"
)

// keys are a new member's: everything that goes into STATE_DIR/pki.
type keys struct {
	ca        *pki.CA
	cert, key []byte
}

// write makes the member. Until it is complete a mark says so, and a second try
// replaces what the first one left; pgherd.yaml comes last.
func (s *setup) write(config string, id agent.Identity, k keys, warn io.Writer) error {
	steps := []func() error{
		func() error { return makeStateDir(s.m.StateDir) },
		func() error { return agent.BeginSetup(s.m.StateDir, config) },
		func() error { return s.writeKeys(k) },
		func() error { return id.Save(s.m.StateDir) },
		func() error { return s.makeParents(warn) },
		func() error { return s.writeConfig(config) },
		func() error { return s.chown() },
		func() error { return agent.EndSetup(s.m.StateDir) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return failed("repeat the command; what was written so far is replaced", "%w", err)
		}
	}
	return nil
}

// openUmask: directories that are made on the way must be open to the agent's user,
// whatever the umask of who sets the member up. Secrets have their modes said explicitly.
const openUmask = 0o022

// makeStateDir: the directories above must be open to the agent's user, only the last
// one is secret. Until the end of the setup it is root's when root sets up: its later
// owner could otherwise exchange for links what is written here.
func makeStateDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|os.O_RDONLY, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return notADirectory(dir)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if os.Geteuid() == 0 {
		if err := f.Chown(0, 0); err != nil {
			return err
		}
	}
	return f.Chmod(0o700)
}

func notADirectory(path string) error {
	return refused("give the directory's own path, or move away what is there", "%s is a link, or no directory", path)
}

func (s *setup) writeKeys(k keys) error {
	dir := pki.Dir(filepath.Join(s.m.StateDir, "pki"))
	if err := os.RemoveAll(string(dir)); err != nil { // of an interrupted setup
		return err
	}
	if err := k.ca.Save(dir); err != nil {
		return err
	}
	return pki.SaveNode(dir, k.cert, k.key)
}

func (s *setup) writeConfig(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return agent.WriteFile(path, s.m.YAML(), 0o644) // no secret in it
}

// makeParents makes the directories in which the agent later makes its own. One that
// existed stays as it is: to chown what may be a mount point of others is not ours.
func (s *setup) makeParents(warn io.Writer) error {
	uid, gid, err := s.owner()
	if err != nil {
		return err
	}
	for _, dir := range []string{s.m.Postgres.DataDir, s.m.Postgres.WalDir} {
		if dir == "" {
			continue
		}
		parent := filepath.Dir(dir)
		info, err := os.Stat(parent)
		if err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != uid && parent != s.m.StateDir {
				fmt.Fprintf(warn, "warning: %s belongs to another user; the agent must be able to make and rename directories in it\n", parent)
			}
			continue
		}
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
		if err := os.Lchown(parent, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// owner is who will run the agent: --user when root sets the member up, else ourselves.
func (s *setup) owner() (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return os.Geteuid(), os.Getegid(), nil
	}
	u, err := user.Lookup(s.user)
	if err != nil {
		return 0, 0, refused("choose an existing user with --user", "%w", err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err == nil && uid == 0 {
		err = refused("choose another user with --user", "PostgreSQL refuses to run as root")
	}
	return uid, gid, err
}

// chown gives the state directory to that user. Links are not followed.
func (s *setup) chown() error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := s.owner()
	if err != nil {
		return err
	}
	for _, name := range []string{"pki", "cluster.json", "unfinished"} {
		err := filepath.WalkDir(filepath.Join(s.m.StateDir, name), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, gid)
		})
		if err != nil {
			return err
		}
	}
	return os.Lchown(s.m.StateDir, uid, gid)
}
