package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounts need root")
	}
}

// machine is this machine, as a copy that is thrown away: installed there is real dpkg, with what is installed here. In
// place of systemd, which does not run in a test, there is one that writes down what it is asked, and has an agent to be asked for.
const machine = `
new=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$new"
mkdir "$new/upper" "$new/work" "$new/root"
mount -t overlay -o lowerdir=/,upperdir="$new/upper",workdir="$new/work" overlay "$new/root"
mount -t proc proc "$new/root/proc"
mount --rbind /dev "$new/root/dev"
mount -t tmpfs tmpfs "$new/root/run"
mkdir -p "$new/root/run/systemd/system" "$new/root/pkg"
mount --bind "$DIST" "$new/root/pkg"
cat >"$new/root/usr/local/sbin/systemctl" <<'END'
#!/bin/sh
echo "systemctl $*" >>/run/asked
case "$*" in
"show --property MainPID --value pgherd.service") cat /run/agent.pid 2>/dev/null || echo 0 ;;
"show --property MainPID --value pgherd-pooler.service") echo 0 ;;
esac
END
chmod 755 "$new/root/usr/local/sbin/systemctl"
cp --remove-destination "$new/root/usr/local/sbin/systemctl" "$new/root/usr/bin/systemctl" # scripts of rpm have a PATH of its own
`

// inside runs commands in such a copy.
func inside(t *testing.T, commands string) string {
	t.Helper()
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "bash", "-euc",
		machine+"exec chroot \"$new/root\" env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive bash -euc \"$COMMANDS\"")
	cmd.Env = append(os.Environ(), "DIST="+dist, "COMMANDS=asked() { cat /run/asked; : >/run/asked; }\n"+commands)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// part is what was printed between the marks "== NAME" and the next.
func part(t *testing.T, out, name string) string {
	t.Helper()
	_, after, found := strings.Cut(out, "== "+name+"\n")
	if !found {
		t.Fatalf("it did not come to %q:\n%s", name, out)
	}
	text, _, _ := strings.Cut(after, "== ")
	return text
}

func TestDebIsInstalledUpgradedAndRemoved(t *testing.T) {
	needRoot(t)
	again := filepath.Join(dist, "again.deb") // the same, of a later version
	run(t, "sh", "-ec", "r=$(mktemp -d); trap 'rm -rf $r' EXIT; dpkg-deb -R "+only(t, "pgherd*.deb")+" $r; sed -i 's/^Version: .*/&+later/' $r/DEBIAN/control; dpkg-deb -Zgzip -z1 --build $r "+again+" >&2")
	defer os.Remove(again)
	out := inside(t, `
dpkg -i /pkg/pgherd*.deb
echo "== installed"
asked
pgherd version
man pgherd-status | head -5
pg_conftool /etc/postgresql-common/createcluster.conf show -bs create_main_cluster
echo "name: n1" >/etc/pgherd/pgherd.yaml
mkdir -p /var/lib/pgherd/data
echo kept >/var/lib/pgherd/data/PG_VERSION
sh -c 'trap "echo renewed >/run/renewed; exit" USR2; : >/run/trapped; while :; do sleep 0.02; done' &
echo $! >/run/agent.pid
until [ -e /run/trapped ]; do sleep 0.01; done
echo "create_main_cluster = true # mine" >/etc/postgresql-common/createcluster.d/pgherd.conf
dpkg -i /pkg/again.deb
wait
echo "== upgraded"
asked
cat /run/renewed /etc/pgherd/pgherd.yaml /etc/postgresql-common/createcluster.d/pgherd.conf
rm /run/agent.pid
dpkg -r pgherd
echo "== removed"
asked
ls /usr/bin/pgherd 2>&1 || true
dpkg -P pgherd
echo "== purged"
asked
cat /etc/pgherd/pgherd.yaml /var/lib/pgherd/data/PG_VERSION
`)
	asIs := strings.Fields(run(t, "../../scripts/version.sh"))[0]
	holds(t, out, "installed", "systemctl daemon-reload\n", "pgherd "+asIs, "PGHERD-STATUS(1)", "off\n")
	holds(t, out, "upgraded", "systemctl daemon-reload\n", "renewed\n", "name: n1\n", "# mine")
	holds(t, out, "removed", "systemctl stop pgherd.service pgherd-pooler.service\n", "systemctl disable pgherd.service", "No such file")
	holds(t, out, "purged", "name: n1\n", "kept\n")
	startsNothing(t, out)
}

func holds(t *testing.T, out, name string, wants ...string) {
	t.Helper()
	text := part(t, out, name)
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q is missing:\n%s", name, want, text)
		}
	}
}

// startsNothing: a package neither starts nor stops what runs, unless it goes.
func startsNothing(t *testing.T, out string) {
	t.Helper()
	for _, name := range []string{"installed", "upgraded"} {
		for _, never := range []string{" start", " stop", " restart", " enable"} {
			if strings.Contains(part(t, out, name), "systemctl"+never) {
				t.Errorf("%s: systemd was asked to%s:\n%s", name, never, out)
			}
		}
	}
}

// TestRpmIsInstalledUpgradedAndRemoved by rpm itself, on a Debian: what a distribution of rpm's would add is its dependencies.
func TestRpmIsInstalledUpgradedAndRemoved(t *testing.T) {
	needRoot(t)
	out := inside(t, `
rpm --initdb
rpm -i --nodeps --force-debian /pkg/pgherd*.rpm
echo "== installed"
asked
pgherd version
man pgherd-status | head -5
rpm -V --nodeps pgherd && echo as packed
echo "name: n1" >/etc/pgherd/pgherd.yaml
mkdir -p /var/lib/pgherd/data
echo kept >/var/lib/pgherd/data/PG_VERSION
sh -c 'trap "echo renewed >/run/renewed; exit" USR2; : >/run/trapped; while :; do sleep 0.02; done' &
echo $! >/run/agent.pid
until [ -e /run/trapped ]; do sleep 0.01; done
rpm -U --nodeps --force-debian --replacepkgs /pkg/pgherd*.rpm
wait
echo "== upgraded"
asked
cat /run/renewed /etc/pgherd/pgherd.yaml
rm /run/agent.pid
rpm -e --force-debian pgherd
echo "== removed"
asked
ls /usr/bin/pgherd 2>&1 || true
cat /etc/pgherd/pgherd.yaml /var/lib/pgherd/data/PG_VERSION
`)
	holds(t, out, "installed", "systemctl daemon-reload\n", "pgherd "+strings.Fields(run(t, "../../scripts/version.sh"))[0], "PGHERD-STATUS(1)", "as packed\n")
	holds(t, out, "upgraded", "systemctl daemon-reload\n", "renewed\n", "name: n1\n")
	holds(t, out, "removed", "systemctl stop pgherd.service pgherd-pooler.service\n", "systemctl disable pgherd.service", "No such file", "name: n1\n", "kept\n")
	startsNothing(t, out)
}
