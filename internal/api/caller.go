package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/pki"
)

type localKey struct{}

// withPeerCredentials notes for a unix connection which user is at its other end, as
// the kernel says.
func withPeerCredentials(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid := -1
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				uid = int(cred.Uid)
			}
		})
	}
	return context.WithValue(ctx, localKey{}, uid)
}

// caller says who asks: an administrator of this machine or a member. Everybody
// else is refused.
func (s *Server) caller(r *http.Request) (string, error) {
	if uid, ok := r.Context().Value(localKey{}).(int); ok {
		if uid != 0 && uid != os.Getuid() {
			return "", refuse(http.StatusForbidden, CodeForbidden, "run the command as root or as the agent's user", "user %d may not administer this member", uid)
		}
		return fmt.Sprintf("uid %d on %s", uid, s.b.Name), nil
	}
	name, err := pki.MemberName(r.TLS, s.clusterID)
	if err != nil {
		return "", refuse(http.StatusForbidden, CodeForbidden, "run the command on a member, or show an access token: `pgherd access create`", "this needs a member's certificate")
	}
	return name, nil
}
