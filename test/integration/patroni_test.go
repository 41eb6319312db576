package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What was written to watch Patroni watches a cluster of pgherd: Debian's own check_patroni and vip-manager, as they are.

// nagios is check_patroni with a viewer's certificate.
type nagios struct {
	c   *cluster
	dir string
}

// Exit codes of a Nagios plugin.
const (
	nagiosOK       = 0
	nagiosCritical = 2
)

// ask runs a check at a member and wants an exit code.
func (n nagios) ask(m *member, want int, args ...string) string {
	n.c.t.Helper()
	return n.run(m, want, append([]string{"--cert_file", filepath.Join(n.dir, "nagios.crt"), "--key_file", filepath.Join(n.dir, "nagios.key")}, args...)...)
}

func (n nagios) run(m *member, want int, args ...string) string {
	n.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool("check_patroni"), append([]string{"--timeout", "20", "-e", "https://" + m.apiAt(), "--ca_file", filepath.Join(n.dir, "pgherd-ca.crt")}, args...)...)
	cmd.Dir = n.dir
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.c.t.Fatalf("check_patroni: %v (`make deps` provides it)", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		n.c.t.Errorf("%s at %s: exit code %d, want %d: %s", strings.Join(args, " "), m.name, got, want, text)
	}
	return string(text)
}

// TestCheckPatroni: each of its checks that has a meaning here, well and unwell.
func TestCheckPatroni(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	standby := c.others(p)[0]
	n := nagios{c, t.TempDir()}
	p.do("viewer", "create", "nagios", "--dir", n.dir)

	all := []string{"cluster_node_count", "--warning", "3:", "--critical", "3:", "--healthy-warning", "3:", "--healthy-critical", "3:"}
	n.ask(standby, nagiosOK, all...)
	n.ask(standby, nagiosOK, "cluster_has_leader")
	n.ask(standby, nagiosOK, "cluster_has_replica", "--critical", "2:", "--sync-critical", "2:", "--max-lag", "16MB")
	n.ask(standby, nagiosOK, "cluster_has_replica", "--critical", "2:", "--sync-critical", "2:", "--sync-type", "quorum")
	n.ask(standby, nagiosCritical, "cluster_has_replica", "--critical", "3:")
	n.ask(p, nagiosOK, "cluster_is_in_maintenance")
	n.ask(p, nagiosOK, "cluster_has_scheduled_action")
	for _, m := range []*member{p, standby} {
		n.ask(m, nagiosOK, "node_is_alive")
		n.ask(m, nagiosOK, "node_is_pending_restart")
		n.ask(m, nagiosOK, "node_patroni_version", "--patroni-version", "4.1.4")
		primary, replica := nagiosCritical, nagiosOK
		if m == p {
			primary, replica = nagiosOK, nagiosCritical
		}
		n.ask(m, primary, "node_is_primary")
		n.ask(m, primary, "node_is_leader")
		n.ask(m, replica, "node_is_replica")
		n.ask(m, replica, "node_is_replica", "--is-sync")
		n.ask(m, replica, "node_is_replica", "--max-lag", "16MB")
		n.ask(m, nagiosCritical, "node_is_replica", "--is-async")
	}
	// Without a certificate there is a yes or no, and no more.
	n.run(p, nagiosOK, "node_is_primary")
	if text := n.run(p, 3, "cluster_has_leader"); strings.Contains(text, "member") {
		t.Errorf("somebody without a certificate was told %s", text)
	}

	p.do("pause")
	c.wait(10*time.Second, "the pause is seen", func() bool { return c.node(n.dir, standby).Pause })
	n.ask(standby, nagiosCritical, "cluster_is_in_maintenance")
	p.do("resume")
	p.do("switchover", "--at", time.Now().Add(time.Hour).Format(time.RFC3339))
	c.wait(10*time.Second, "the plan is seen", func() bool {
		var plan struct {
			Switchover *struct{ At string } `json:"scheduled_switchover"`
		}
		c.patroni(n.dir, standby, "/cluster", &plan)
		return plan.Switchover != nil
	})
	n.ask(standby, nagiosCritical, "cluster_has_scheduled_action")
	p.do("cancel")
	c.settle(p)

	was := c.node(n.dir, p)
	line := fmt.Sprint(was.Timeline)
	n.ask(p, nagiosOK, "node_tl_has_changed", "--timeline", line)
	since := time.Now()
	p.do("switchover", standby.name)
	c.waitSync()
	c.wait(10*time.Second, "the new timeline is seen", func() bool { return c.node(n.dir, p).Timeline > was.Timeline })
	n.ask(p, nagiosCritical, "node_tl_has_changed", "--timeline", line)
	n.ask(p, nagiosOK, all...)
	c.history(n.dir, p, was.Timeline, standby.name, since)
}

// history: the newest line says where the timeline was left, who began the next and when. Every member knows it.
func (c *cluster) history(dir string, m *member, left int, by string, since time.Time) {
	c.t.Helper()
	var lines [][]any
	c.patroni(dir, m, "/history", &lines)
	if len(lines) == 0 || len(lines[len(lines)-1]) != 5 {
		c.t.Fatalf("history: %v", lines)
	}
	last := lines[len(lines)-1]
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(last[3]))
	if last[0] != float64(left) || last[1].(float64) < 1<<24 || last[4] != by || err != nil || at.Before(since.Add(-time.Second)) || at.After(time.Now()) {
		c.t.Errorf("history: %v, %v", last, err)
	}
}

// node is what of Patroni's document of a member the tests look at.
type node struct {
	Pause    bool
	Timeline int
}

func (c *cluster) node(dir string, m *member) (n node) {
	c.t.Helper()
	c.patroni(dir, m, "/patroni", &n)
	return n
}

// patroni gets one of Patroni's documents with the certificate of the viewer nagios.
func (c *cluster) patroni(dir string, m *member, path string, document any) {
	c.t.Helper()
	client := c.viewer(dir, "nagios")
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+m.apiAt()+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(text, document)
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		c.t.Fatalf("%s at %s: %s, %v: %s", path, m.name, answer.Status, err, text)
	}
}

// TestVIPManager: one beside each member, as it would run on each host, gives the address to the primary and to nobody else.
func TestVIPManager(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("network interfaces are made by root alone")
	}
	c := shared(t)
	p := c.waitSync()
	const address = "192.0.2.77" // of TEST-NET-1
	links := map[*member]string{}
	for i, m := range c.members {
		links[m] = c.vipManager(m, i, address)
	}
	bears := func(m *member) bool {
		return strings.Contains(c.ip("-o", "addr", "show", "dev", links[m]), " "+address+"/")
	}
	alone := func(who *member) func() bool {
		return func() bool {
			n := 0
			for _, m := range c.members {
				if bears(m) {
					n++
				}
			}
			return n == 1 && bears(who)
		}
	}
	c.wait(20*time.Second, "the primary alone has the address", alone(p))
	p.do("switchover")
	next := c.waitSync()
	if next == p {
		t.Fatal("the primary did not move")
	}
	c.wait(20*time.Second, "the address is the new primary's alone", alone(next))
}

// vipManager runs it until the test's end, with a network interface of its own.
func (c *cluster) vipManager(m *member, n int, address string) (link string) {
	c.t.Helper()
	link = fmt.Sprintf("pgv%da%d", os.Getpid()%1e6, n)
	c.ip("link", "add", link, "type", "veth", "peer", "name", strings.Replace(link, "a", "b", 1))
	c.t.Cleanup(func() { c.ip("link", "del", link) })
	c.ip("link", "set", link, "up")
	cmd := exec.Command(tool("vip-manager"), "--ip", address, "--netmask", "32", "--interface", link, "--interval", "200",
		"--dcs-type", "patroni", "--dcs-endpoints", "https://"+m.apiAt(), "--trigger-key", "/leader", "--trigger-value", "200")
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(m.dir, "pki", "ca.crt")) // before 4.0 it has no option for that
	cmd.Dir = c.t.TempDir()
	c.beside("vip-manager of "+m.name, cmd)
	return link
}

func (c *cluster) ip(args ...string) string {
	c.t.Helper()
	text, err := exec.Command(tool("ip"), args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, text)
	}
	return string(text)
}
