//go:build lab

package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/rig"
)

// quickStartMax is what a newcomer is promised.
const quickStartMax = 10 * time.Minute

// hostBlock is a block of commands with the host it is for; those without one install packages.
var hostBlock = regexp.MustCompile("(?ms)^```sh (n[0-9])\n(.*?)^```")

// asWritten gives a host what the text expects of a server of its own, by bind mounts: /etc/pgherd, /var/lib/pgherd and
// /root. There is no systemd here: "enable --now" starts what the unit's ExecStart says.
const asWritten = `
mkdir -p /etc/pgherd /var/lib/pgherd
mount --bind "$LAB_HOME/etc" /etc/pgherd
mount --bind "$LAB_HOME/state" /var/lib/pgherd
mount --bind "$LAB_HOME/root" /root
systemctl() {
	[ "$*" = "enable --now pgherd" ] || { echo "systemctl $*: not known here" >&2; return 1; }
	setsid runuser -u postgres -- pgherd run --config /etc/pgherd/pgherd.yaml >>"$LAB_HOME/agent.log" 2>&1 </dev/null &
}
`

// The quick start, by its text alone: every command as it is written, on three hosts, to a cluster that survived a kill.
func TestQuickStart(t *testing.T) {
	text, err := os.ReadFile("../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(rig.Spec{Hosts: 3, UID: cluster.Owner.UID, GID: cluster.Owner.GID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	s := newcomer{t: t, hosts: map[string]*rig.Host{}}
	for _, h := range r.Hosts {
		s.hosts[h.Name] = h
		s.furnish(h)
	}
	began, blocks := time.Now(), hostBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 8 {
		t.Fatalf("%d blocks name a host: is the text still read?", len(blocks))
	}
	last := ""
	for _, b := range blocks {
		last = s.types(b[1], b[2])
		s.carriesTokens()
	}
	t.Logf("from the first command to a cluster that survived a kill and a switchover: %.0f s", time.Since(began).Seconds())
	if time.Since(began) > quickStartMax {
		t.Errorf("it took longer than %v", quickStartMax)
	}
	if standbys := strings.Count(last, " standby "); standbys != 2 {
		t.Errorf("%d standbys at the end, want 2:\n%s", standbys, last)
	}
	if !regexp.MustCompile(`(?m)^n[123] +primary +running`).MatchString(last) {
		t.Errorf("nobody leads at the end:\n%s", last)
	}
}

// newcomer types what the text says, and nothing else.
type newcomer struct {
	t     *testing.T
	hosts map[string]*rig.Host
}

func (s newcomer) furnish(h *rig.Host) {
	s.t.Helper()
	for _, dir := range []string{"etc", "state", "root", "bin"} {
		if err := os.MkdirAll(filepath.Join(h.Dir, dir), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Symlink(exe, filepath.Join(h.Dir, "bin", "pgherd")); err != nil {
		s.t.Fatal(err)
	}
}

func (s newcomer) types(host, commands string) string {
	s.t.Helper()
	for name, h := range s.hosts {
		commands = strings.ReplaceAll(commands, "10.0.0."+strings.TrimPrefix(name, "n"), h.Addr)
	}
	h := s.hosts[host]
	cmd := h.Cmd(rig.Command{
		Args: []string{"unshare", "--mount", "--propagation", "private", "bash", "-euc", asWritten + "set -x\n" + commands},
		Env:  []string{"LAB_HOME=" + h.Dir, "PATH=" + filepath.Join(h.Dir, "bin") + ":" + os.Getenv("PATH"), "PGHERD_CONFIG="},
	})
	out, err := cmd.CombinedOutput()
	s.t.Logf("%s:\n%s", host, out)
	if err != nil {
		for name, h := range s.hosts {
			log, _ := os.ReadFile(filepath.Join(h.Dir, "agent.log"))
			s.t.Logf("the agent of %s:\n%s", name, log[max(0, len(log)-4000):])
		}
		s.t.Fatalf("on %s: %v", host, err)
	}
	return string(out)
}

// carriesTokens is the scp of the text.
func (s newcomer) carriesTokens() {
	s.t.Helper()
	for file, to := range map[string]string{"token": "n2", "token3": "n3"} {
		data, err := os.ReadFile(filepath.Join(s.hosts["n1"].Dir, "root", file))
		if err != nil {
			continue // not made yet
		}
		if err := os.WriteFile(filepath.Join(s.hosts[to].Dir, "root", "token"), data, 0o600); err != nil {
			s.t.Fatal(err)
		}
		if file == "token3" {
			_ = os.Rename(filepath.Join(s.hosts[to].Dir, "root", "token"), filepath.Join(s.hosts[to].Dir, "root", file))
		}
	}
}
