package agent

import (
	"os"
	"os/user"
	"strconv"
)

// selfExe needs no permission on the directories above the binary.
const selfExe = "/proc/self/exe"

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}
