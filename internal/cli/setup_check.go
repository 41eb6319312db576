package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/agent"
)

// check refuses everything that would make a second life of something that lives
// already. It changes nothing. config is the path of the file to write.
func (s *setup) check(config string, warn io.Writer) error {
	if !filepath.IsAbs(config) {
		return usage("write the whole path, from /", "--config %q is not absolute", config)
	}
	if err := s.checkNoLinks(); err != nil {
		return err
	}
	if err := s.checkUnused(config); err != nil {
		return err
	}
	if err := s.checkEmpty("data directory", s.m.Postgres.DataDir); err != nil {
		return err
	}
	if err := s.checkEmpty("WAL directory", s.m.Postgres.WalDir); err != nil {
		return err
	}
	if err := s.checkPorts(); err != nil {
		return err
	}
	if !isLocal(s.m.Address) {
		fmt.Fprintf(warn, "warning: %s is not an address of this machine; that is right only behind address translation\n", s.m.Address)
	}
	return nil
}

// checkNoLinks: as root we would write keys to wherever somebody else's link points, and
// give that place away.
func (s *setup) checkNoLinks() error {
	for _, path := range []string{s.m.StateDir, filepath.Join(s.m.StateDir, "pki")} {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return refused("", "%w", err)
		}
		if !info.IsDir() {
			return notADirectory(path)
		}
	}
	return nil
}

// checkUnused: what an interrupted setup left may be replaced, anything else not.
func (s *setup) checkUnused(config string) error {
	interrupted := agent.Unfinished(s.m.StateDir)
	if !interrupted {
		for _, name := range []string{"cluster.json", "pki", "store"} {
			if _, err := os.Lstat(filepath.Join(s.m.StateDir, name)); !errors.Is(err, fs.ErrNotExist) {
				return refused("to begin anew, move "+s.m.StateDir+" away; it holds the keys of that member", "%s belongs to a member already (%s is there)", s.m.StateDir, name)
			}
		}
	}
	_, err := os.Lstat(config)
	if errors.Is(err, fs.ErrNotExist) || interrupted && agent.SetupNote(s.m.StateDir) == config {
		return nil
	}
	if err != nil {
		return refused("", "%w", err)
	}
	return refused("choose another --config, or move the file away if that member is gone", "%s exists already", config)
}

func (s *setup) checkEmpty(what, dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return refused("", "the %s cannot be read: %w", what, err)
	}
	hint := "pgherd never overwrites what it does not know: move it away, or choose another directory"
	if _, err := os.Lstat(filepath.Join(dir, "PG_VERSION")); err == nil {
		return refused(hint, "the %s %s holds PostgreSQL's data already", what, dir)
	}
	if isMountPoint(dir) { // the agent would refuse it when it is too late
		return refused("use a directory inside it, such as "+filepath.Join(dir, "data"), "the %s %s is a mount point and cannot be renamed", what, dir)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // as postgres.DataState sees it
			return refused(hint, "the %s %s is not empty", what, dir)
		}
	}
	return nil
}

// isMountPoint says whether dir is the root of a file system of its own.
func isMountPoint(dir string) bool {
	var own, parent unix.Stat_t
	return unix.Stat(dir, &own) == nil && unix.Stat(filepath.Dir(dir), &parent) == nil && own.Dev != parent.Dev
}

func (s *setup) checkPorts() error {
	ports := s.ports()
	for _, flag := range slices.Sorted(maps.Keys(ports)) {
		l, err := net.Listen("tcp", ports[flag])
		if err != nil {
			return refused("stop what uses it, or choose another "+flag, "%s cannot be used: %w", ports[flag], bare(err))
		}
		_ = l.Close()
	}
	return nil
}

// bare takes net's "listen tcp ADDRESS:" away, which the caller says better.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// isLocal says whether this machine has the address. A name that cannot be resolved
// here is not judged.
func isLocal(host string) bool {
	ips, err := net.LookupIP(host)
	if err != nil {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, ip := range ips {
		if ip.IsLoopback() {
			return true
		}
		for _, a := range own {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return true
			}
		}
	}
	return false
}
