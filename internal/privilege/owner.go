package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// selfExe needs no permission on the directories above the binary.
const selfExe = "/proc/self/exe"

// BecomeOwner makes a process of root's one of the state directory's owner; any other process it leaves as it is.
// The binary is executed anew, so that nothing of root's is left in the process, but for the two capabilities where
// keepNetwork asks for them. It returns only when there is nothing to do, or with an error.
func BecomeOwner(stateDir string, keepNetwork bool) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(stateDir)
	if err != nil {
		return fmt.Errorf("the state directory cannot be read: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if owner.Uid == 0 {
		return fmt.Errorf("%s belongs to root, and PostgreSQL and PgBouncer refuse to run as root; chown it to the user that is to run pgherd", stateDir)
	}
	become := func() error {
		return errors.Join(syscall.Setgroups(groupsOf(owner.Uid, owner.Gid)), syscall.Setgid(int(owner.Gid)), syscall.Setuid(int(owner.Uid)))
	}
	if keepNetwork {
		err = BecomeKeeping(become)
	} else {
		err = become()
	}
	if err != nil {
		return fmt.Errorf("becoming the owner of %s: %w", stateDir, err)
	}
	return fmt.Errorf("executing pgherd as the owner of %s: %w", stateDir, syscall.Exec(selfExe, os.Args, environment(owner.Uid)))
}

// groupsOf are the supplementary groups of a user: PostgreSQL's may give access to keys.
func groupsOf(uid, gid uint32) []int {
	groups := []int{int(gid)}
	u, err := user.LookupId(strconv.Itoa(int(uid)))
	if err != nil {
		return groups
	}
	ids, err := u.GroupIds()
	if err != nil {
		return groups
	}
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil && n != int(gid) {
			groups = append(groups, n)
		}
	}
	return groups
}

// environment is ours with the new user's HOME: libpq and PostgreSQL look there.
func environment(uid uint32) []string {
	home, name := "/", ""
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		home, name = u.HomeDir, u.Username
	}
	var env []string
	for _, kv := range os.Environ() {
		switch key, _, _ := strings.Cut(kv, "="); key {
		case "HOME", "USER", "LOGNAME":
		default:
			env = append(env, kv)
		}
	}
	return append(env, "HOME="+home, "USER="+name, "LOGNAME="+name)
}
