package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// owner is the OS user that PostgreSQL and pgherd's commands run as. PostgreSQL refuses
// root, so root uses the user postgres; anyone else is his own.
type owner struct {
	name     string
	uid, gid int
	cred     *syscall.Credential // nil: our own
}

func findOwner() (owner, error) {
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return owner{}, fmt.Errorf("who runs the demo: %w", err)
		}
		return owner{name: u.Username, uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return owner{}, fail("PostgreSQL refuses to run as root and there is no user postgres",
			"install PostgreSQL's package, or run the demo as an ordinary user")
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return owner{}, fmt.Errorf("user postgres: %w", err)
	}
	return owner{"postgres", uid, gid, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// attr is for a process that runs as the owner in a session of its own: the terminal's
// Ctrl-C is for the demo alone, which then stops the others in order.
func (o owner) attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: o.cred}
}

// canEnter tells whether the owner can use a directory of ours.
func (o owner) canEnter(dir string) error {
	test := exec.Command("/bin/sh", "-c", `cd -- "$1"`, "sh", dir)
	test.Dir, test.SysProcAttr = "/", o.attr()
	if err := test.Run(); err != nil {
		return refuse(fmt.Sprintf("user %s cannot enter %s", o.name, dir),
			"choose a place that everybody may enter: --dir /tmp/pgherd-demo")
	}
	return nil
}
