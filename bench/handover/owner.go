package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// becomeOwner gives up root for the user that PostgreSQL runs as: both sides, PgBouncer's console (it
// asks for the OS user) and pgbench are then one user's. An ordinary user stays who he is.
func becomeOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return errors.New("PostgreSQL refuses to run as root and there is no user postgres: run this as an ordinary user")
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("user postgres: %w", err)
	}
	return errors.Join(syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid), os.Setenv("HOME", os.TempDir()), os.Chdir("/"))
}
