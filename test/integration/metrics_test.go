package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMetricsOfARealCluster: a viewer's certificate, made by the command and verified as Prometheus does, reads every
// member's metrics; nobody else does. What they say is what SQL says, and promtool finds nothing to object to.
func TestMetricsOfARealCluster(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.scraper()
	for _, m := range c.members {
		if status, body := s.get(s.without, m, http.MethodGet); status != http.StatusForbidden || strings.Contains(body, "pgherd_") {
			t.Errorf("%s answered somebody without a certificate with %d", m.name, status)
		}
		if status, body := s.get(s.with, m, http.MethodHead); status != http.StatusOK || body != "" {
			t.Errorf("HEAD at %s: %d %q", m.name, status, body)
		}
	}
	all := map[string]string{}
	c.wait(15*time.Second, "metrics that agree with the cluster", func() bool {
		led := 0.0
		for _, m := range c.members {
			all[m.name] = s.scrape(m)
			led += sample(t, all[m.name], "pgherd_primary")
		}
		return led == 1 && sample(t, all[p.name], "pgherd_primary") == 1 && sample(t, all[p.name], "pgherd_sync_set_members") == 2
	})
	version, err := strconv.ParseFloat(c.must(p, "SELECT setting FROM pg_settings WHERE name = 'server_version_num'"), 64)
	if err != nil {
		t.Fatal(err)
	}
	started, err := strconv.ParseFloat(c.must(p, "SELECT round(extract(epoch FROM pg_postmaster_start_time()), 3)::text"), 64)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"patroni_primary": 1, "patroni_replica": 0, "patroni_postgres_running": 1, "patroni_postgres_state": 5, "patroni_cluster_unlocked": 0,
		"patroni_postgres_server_version": version, "patroni_postmaster_start_time": started,
		"pgherd_members": 3, "pgherd_members_reachable": 3, "pgherd_sync_set_required": 1, "pgherd_sync_set_members": 2,
		"pgherd_store_up": 1, "pgherd_warden_up": 1, "pgherd_losses_open": 0, "pgherd_term": float64(c.lease().Term),
	} {
		if got := sample(t, all[p.name], name); got < want-0.002 || got > want+0.002 {
			t.Errorf("%s of %s is %v, want %v", name, p.name, got, want)
		}
	}
	for _, m := range c.others(p) {
		for _, name := range []string{"patroni_replica", "patroni_postgres_streaming", "patroni_quorum_standby", "pgherd_streaming"} {
			if sample(t, all[m.name], name) != 1 {
				t.Errorf("%s of %s is 0", name, m.name)
			}
		}
	}
	for _, name := range []string{"pgherd_decision_seconds_count", "pgherd_tick_seconds_count", `pgherd_store_request_seconds_count{operation="put"}`, `pgherd_step_seconds_count{step="put_lease"}`} {
		if sample(t, all[p.name], name) == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	t.Logf("a scrape of the primary is %d bytes; its agent has %.0f MB", len(all[p.name]), sample(t, all[p.name], "process_resident_memory_bytes")/1e6)
	lint(t, all[p.name])
	askedFor(t, all)
}

// TestMovesAreMeasured: a failover and a switchover are in the new primary's metrics, and in nobody else's.
func TestMovesAreMeasured(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	s := c.scraper()
	count := func(name string) map[string]float64 {
		found := map[string]float64{}
		for _, m := range c.members {
			found[m.name] = sample(t, s.scrape(m), name)
		}
		return found
	}
	const failover, handover = `pgherd_failover_seconds_count{phase="all"}`, `pgherd_handover_phase_seconds_count{phase="stop"}`
	failed, handed := count(failover), count(handover)
	at := time.Now()
	old.kill("postmaster")
	leader := c.waitLeader(old, 20*time.Second)
	took := time.Since(at)
	failed[leader.name]++
	c.wait(10*time.Second, "the failover is counted once", func() bool { return maps.Equal(count(failover), failed) })
	text := s.scrape(leader)
	sum := 0.0
	for _, phase := range []string{"notice", "elect", "open"} {
		sum += sample(t, text, `pgherd_failover_seconds_sum{phase="`+phase+`"}`)
	}
	if all := sample(t, text, `pgherd_failover_seconds_sum{phase="all"}`); all < sum-0.001 || all > sum+0.001 {
		t.Errorf("the phases come to %v, all to %v", sum, all)
	}
	t.Logf("%s leads %v after the kill; its metrics know of %.0f ms of failovers", leader.name, took.Round(time.Millisecond), 1000*sum)
	c.waitSync()
	leader.do("switchover")
	next := c.waitSync()
	handed[next.name]++
	c.wait(15*time.Second, "the switchover is counted once", func() bool { return maps.Equal(count(handover), handed) })
	if now := count(failover); !maps.Equal(now, failed) {
		t.Errorf("the switchover counts as a failover: %v", now)
	}
}

// scraper scrapes as Prometheus does.
type scraper struct {
	c             *cluster
	with, without *http.Client
}

func (c *cluster) scraper() *scraper {
	c.t.Helper()
	dir := c.t.TempDir()
	c.members[0].do("viewer", "create", "prometheus", "--dir", dir)
	if info, err := os.Stat(filepath.Join(dir, "prometheus.key")); err != nil || info.Mode().Perm() != 0o600 {
		c.t.Errorf("the key: %v, %v", info, err)
	}
	return &scraper{c, c.viewer(dir, "prometheus"), c.viewer(dir, "")}
}

// viewer asks members with the certificate that a command put into dir, or with none: it knows their CA all the same.
func (c *cluster) viewer(dir, name string) *http.Client {
	c.t.Helper()
	ca, err := os.ReadFile(filepath.Join(dir, "pgherd-ca.crt"))
	if err != nil {
		c.t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(ca)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
		if err != nil {
			c.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: config}
	c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func (s *scraper) get(client *http.Client, m *member, method string) (status int, body string) {
	s.c.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "https://"+m.apiAt()+"/metrics", nil)
	if err != nil {
		s.c.t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		s.c.t.Fatalf("%s at %s: %v", method, m.name, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.c.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func (s *scraper) scrape(m *member) string {
	s.c.t.Helper()
	status, text := s.get(s.with, m, http.MethodGet)
	if status != http.StatusOK {
		s.c.t.Fatalf("%s: %d\n%s", m.name, status, text)
	}
	return text
}

// sample is the value of the first series of a name, or of one with a label: `name{label="value"}`.
func sample(t *testing.T, text, series string) float64 {
	t.Helper()
	name, label, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	for line := range strings.Lines(text) {
		if (strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ")) && strings.Contains(line, label) {
			fields := strings.Fields(line)
			v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return v
		}
	}
	t.Fatalf("there is no %s", series)
	return 0
}

// lint: Patroni's names break Prometheus' rules (counters without _total), and stay as they are.
func lint(t *testing.T, text string) {
	t.Helper()
	var own strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "patroni_") {
			own.WriteString(line)
		}
	}
	cmd := exec.Command(tool("promtool"), "check", "metrics")
	cmd.Stdin = strings.NewReader(own.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v (`make deps` installs it)\n%s", err, out)
	}
}

// notNow have no series in a cluster that is well, has no endpoints and does nothing.
var notNow = []string{"pgherd_condition", "pgherd_job_running", "pgherd_pooler_clients", "pgherd_pooler_held_clients", "pgherd_pooler_leads"}

// askedFor: what the rules and the dashboard ask for is in what members answer.
func askedFor(t *testing.T, all map[string]string) {
	t.Helper()
	answered := strings.Join(slices.Collect(maps.Values(all)), "\n")
	asked := map[string]bool{}
	for _, file := range []string{"prometheus/rules.yml", "grafana/pgherd.json"} {
		text, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(?:pgherd|process)_\w+`).FindAllString(string(text), -1) {
			asked[name] = true
		}
	}
	if len(asked) < 30 {
		t.Errorf("found only %d names: the search is broken", len(asked))
	}
	for name := range asked {
		there := strings.Contains(answered, "\n"+name+"{") || strings.Contains(answered, "\n"+name+" ")
		if !there && !slices.Contains(notNow, name) {
			t.Errorf("no member answers %s", name)
		}
	}
}

// endpointsAreMeasured: each host's clients are told of once, and what a handover made them wait.
func endpointsAreMeasured(t *testing.T, c *cluster) {
	p := c.waitSync()
	to := c.others(p)[0]
	client := to.web(to.rw, "shop")
	if got := ask(t, client, "SELECT 'here'"); got != "here" {
		t.Fatal(got)
	}
	s := c.scraper()
	clients := `pgherd_pooler_clients{pooler="` + to.name + `"}`
	c.wait(20*time.Second, "the client in the metrics", func() bool {
		return strings.Contains(s.scrape(to), `pooler="`+to.name+`"`) && sample(t, s.scrape(to), clients) >= 1
	})
	for _, m := range c.members {
		text := s.scrape(m)
		if n := strings.Count(text, "\npgherd_pooler_clients{"); n != 1 {
			t.Errorf("%s tells of %d poolers", m.name, n)
		}
		if sample(t, text, "pgherd_pooler_leads") != 1 {
			t.Errorf("the endpoint of %s leads nowhere", m.name)
		}
	}
	const holds = `pgherd_handover_phase_seconds_count{phase="hold"}`
	before := sample(t, s.scrape(to), holds)
	p.do("switchover", to.name)
	c.waitSync()
	c.wait(15*time.Second, "three hosts' holds in the metrics", func() bool { return sample(t, s.scrape(to), holds) == before+3 })
}
