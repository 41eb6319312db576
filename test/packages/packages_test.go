package packages

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/cli"
)

// dist is what `make dist` makes, once for all tests; root is the deb, unpacked.
var dist, root string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "pgherd-packages-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		dist, root = filepath.Join(dir, "dist"), filepath.Join(dir, "root")
		for _, c := range []*exec.Cmd{exec.Command("../../scripts/dist.sh", dist), exec.Command("sh", "-c", "dpkg-deb -x "+dist+"/*.deb "+root)} {
			if out, err := c.CombinedOutput(); err != nil {
				os.Stderr.Write(out)
				panic(err)
			}
		}
		return m.Run()
	}())
}

// run gives what a command prints, or ends the test.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out) + errs.String()
}

func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// commands calls f for each command that people see.
func commands(cmd *cobra.Command, f func(*cobra.Command)) {
	if cmd.HasParent() && !cmd.IsAvailableCommand() {
		return
	}
	f(cmd)
	for _, sub := range cmd.Commands() {
		commands(sub, f)
	}
}

// The version in the binary is that of the package, and says of which commit it is.
func TestVersion(t *testing.T) {
	version := strings.Fields(run(t, "../../scripts/version.sh"))
	said := run(t, filepath.Join(root, "usr/bin/pgherd"), "version", "--json")
	for _, want := range append(version, "go1.") {
		if !strings.Contains(said, want) {
			t.Errorf("pgherd version says %s; %q is missing", said, want)
		}
	}
	if deb := run(t, "dpkg-deb", "-f", only(t, "*.deb"), "Version"); strings.TrimSpace(deb) != version[0] {
		t.Errorf("the deb is of version %s, want %s", deb, version[0])
	}
	if rpm := run(t, "rpm", "-qp", "--qf", "%{VERSION}", only(t, "*.rpm")); !strings.HasSuffix(rpm, version[0]) {
		t.Errorf("the rpm is of version %s, want %s", rpm, version[0])
	}
}

// Who types a command and does not know it finds a page with an example and the exit codes.
func TestEachCommandHasItsPage(t *testing.T) {
	seen := 0
	commands(cli.Commands(), func(cmd *cobra.Command) {
		seen++
		page := filepath.Join(root, "usr/share/man/man1", strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1.gz")
		text := run(t, "man", "--warnings", "-E", "UTF-8", "-l", page)
		if strings.Contains(text, "warning:") {
			t.Errorf("%s: %s", filepath.Base(page), text)
		}
		text = strings.Join(strings.Fields(text), " ")
		wants := []string{"EXIT STATUS", "refused by the cluster"}
		if cmd.HasParent() && !cmd.HasSubCommands() {
			wants = append(wants, "EXAMPLE", cmd.CommandPath())
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing:\n%s", filepath.Base(page), want, text)
			}
		}
	})
	if seen < 30 {
		t.Errorf("only %d commands", seen)
	}
	if text := run(t, "man", "-l", filepath.Join(root, "usr/share/man/man5/pgherd.yaml.5.gz")); !strings.Contains(text, "state_dir") {
		t.Error("pgherd.yaml(5) does not name state_dir")
	}
}

// Completions are those of the binary, and it answers what they ask.
func TestCompletions(t *testing.T) {
	for _, file := range []string{"bash-completion/completions/pgherd", "fish/vendor_completions.d/pgherd.fish", "zsh/vendor-completions/_pgherd"} {
		if text, err := os.ReadFile(filepath.Join(root, "usr/share", file)); err != nil || !bytes.Contains(text, []byte("__complete")) {
			t.Errorf("%s: %v", file, err)
		}
	}
	run(t, "bash", "-nc", ". "+filepath.Join(root, "usr/share/bash-completion/completions/pgherd"))
	if out := run(t, filepath.Join(root, "usr/bin/pgherd"), "__complete", "sw"); !strings.Contains(out, "switchover") {
		t.Errorf("sw is completed to %s", out)
	}
}

// What a Debian administrator expects of a package; nothing in it starts PostgreSQL, or deletes.
func TestDebIsInOrder(t *testing.T) {
	fields := run(t, "dpkg-deb", "-f", only(t, "*.deb"))
	for _, want := range []string{"Depends: postgresql-common", "Recommends: pgbouncer", "Suggests: postgresql\n", "Section: database"} {
		if !strings.Contains(fields, want) {
			t.Errorf("%q is missing:\n%s", want, fields)
		}
	}
	files := run(t, "dpkg-deb", "-c", only(t, "*.deb"))
	for _, want := range []string{"./usr/bin/pgherd\n", "system/pgherd.service\n", "system/pgherd-pooler.service\n", "./etc/pgherd/\n", "doc/pgherd/copyright\n"} {
		if !strings.Contains(files, want) {
			t.Errorf("%q is missing:\n%s", want, files)
		}
	}
	for line := range strings.Lines(files) {
		if strings.Contains(line, " ./etc/pgherd/") && !strings.HasPrefix(line, "d") || !strings.Contains(line, "root/root") {
			t.Errorf("this must not be in it: %s", line)
		}
	}
	if got := run(t, "dpkg-deb", "--ctrl-tarfile", only(t, "*.deb")); !strings.Contains(got, "/etc/postgresql-common/createcluster.d/pgherd.conf") {
		t.Error("the only file below /etc is no conffile")
	}
	if scripts := run(t, "rpm", "-qp", "--scripts", only(t, "*.rpm")); strings.Contains(scripts, "start pgherd") || !strings.Contains(scripts, "kill -USR2") {
		t.Errorf("the rpm's scripts:\n%s", scripts)
	}
}

// The bill of materials names what is in the binary, and each file is as it was made.
func TestSums(t *testing.T) {
	run(t, "sh", "-c", "cd "+dist+" && sha256sum --quiet -c SHA256SUMS")
	bill, err := os.ReadFile(only(t, "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(run(t, "go", "version", "-m", filepath.Join(root, "usr/bin/pgherd"))) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" && !bytes.Contains(bill, []byte(`"pkg:golang/`+f[1]+"@"+f[2])) {
			t.Errorf("%s %s is in the binary, but not in the bill of materials", f[1], f[2])
		}
	}
}

// The image's bill names each Debian package of its root as dpkg does, and what is in the binary. This machine stands for the root
// here; scripts/test-container.sh holds the real one against a container.
func TestImageBill(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/status"); err != nil {
		t.Skip("no Debian, so there is no root to bill")
	}
	binary := filepath.Join(root, "usr/bin/pgherd")
	bill := run(t, "go", "run", "../../scripts/bill", "-root", "/", "-binary", binary, "-version", "v1", "-date", "2026-11-28T00:00:00Z")
	var names struct {
		Format     string `json:"bomFormat"`
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(bill), &names); err != nil || names.Format != "CycloneDX" {
		t.Fatalf("%v: %.200s", err, bill)
	}
	var got, want []string
	for _, c := range names.Components {
		if _, of, ok := strings.Cut(c.PURL, "?arch="); ok {
			arch, _, _ := strings.Cut(of, "&")
			got = append(got, c.Name+" "+c.Version+" "+arch)
		}
	}
	for line := range strings.Lines(run(t, "dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture} ${db:Status-Status}\n")) {
		if installed, ok := strings.CutSuffix(strings.TrimSpace(line), " installed"); ok {
			want = append(want, installed)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) < 50 {
		t.Errorf("the bill names %d packages, dpkg %d:\n%s\n%s", len(got), len(want), strings.Join(got, ", "), strings.Join(want, ", "))
	}
	for line := range strings.Lines(run(t, "go", "version", "-m", binary)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" && !strings.Contains(bill, `"pkg:golang/`+f[1]+"@"+f[2]) {
			t.Errorf("%s %s is in the binary, but not in the bill", f[1], f[2])
		}
	}
}

// systemd takes each line of the units for what it is meant to be. The programs are looked for where the unit says, so
// there is one there, in a mount namespace of the test's.
func TestUnitsAreUnderstood(t *testing.T) {
	needRoot(t)
	out := run(t, "unshare", "--mount", "--propagation", "private", "sh", "-ec", `
		mount -t tmpfs tmpfs /usr/local/sbin
		cp `+filepath.Join(root, "usr/bin/pgherd")+` /usr/local/sbin/pgherd
		cd "$(mktemp -d -p /usr/local/sbin)"
		sed s,/usr/bin/pgherd,/usr/local/sbin/pgherd, `+filepath.Join(root, "usr/lib/systemd/system/pgherd.service")+` >pgherd.service
		sed s,/usr/bin/pgherd,/usr/local/sbin/pgherd, `+filepath.Join(root, "usr/lib/systemd/system/pgherd-pooler.service")+` >pgherd-pooler.service
		systemd-analyze verify --man=no ./pgherd.service ./pgherd-pooler.service 2>&1`)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "pgherd") {
			t.Error(line)
		}
	}
}

// The same commit gives the same bytes, elsewhere, and for somebody else.
func TestReproducible(t *testing.T) {
	if strings.Contains(run(t, "../../scripts/version.sh"), "dirty") {
		t.Skip("the working tree has changes: there is no commit to build twice")
	}
	t.Log(run(t, "../../scripts/reproducible.sh", dist))
}
