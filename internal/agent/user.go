package agent

import (
	"os"
	"os/user"
	"strconv"
	"strings"
)

// selfExe needs no permission on the directories above the binary.
const selfExe = "/proc/self/exe"

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

// forgetPG removes libpq's variables: a PGSERVICE or PGTARGETSESSIONATTRS of whoever
// started the agent must not steer its own connections.
func forgetPG() {
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); strings.HasPrefix(key, "PG") && !strings.HasPrefix(key, "PGHERD_") {
			os.Unsetenv(key)
		}
	}
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}
