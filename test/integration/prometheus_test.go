package integration

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/test/ports"
)

// TestPrometheus: the real Prometheus, with the configuration and the rules that are shipped and a viewer's certificate,
// scrapes every member, evaluates every rule, and fires none at a healthy cluster.
func TestPrometheus(t *testing.T) {
	c := shared(t)
	c.waitSync()
	ask := c.prometheus()
	for query, want := range map[string]string{
		`sum(up{job="pgherd"})`: "3", `sum(pgherd_primary)`: "1", `sum(patroni_primary{scope!=""})`: "1", `count(count by (cluster) (pgherd_term))`: "1",
	} {
		c.wait(30*time.Second, "Prometheus to answer "+query, func() bool { return ask.number(query) == want })
	}
	c.wait(30*time.Second, "each rule to be evaluated", func() bool {
		var rules struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		ask.get("rules", nil, &rules)
		n := 0
		for _, g := range rules.Groups {
			for _, r := range g.Rules {
				if r.Health == "err" {
					t.Fatalf("%s: %s", r.Name, r.LastError)
				}
				if r.Health == "ok" {
					n++
				}
			}
		}
		return n >= 20
	})
	var alerts struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	ask.get("alerts", nil, &alerts)
	for _, a := range alerts.Alerts {
		if a.State == "firing" && a.Labels["alertname"] != "PgherdLostTransactionsKept" { // a test before this one may have left a fork
			t.Errorf("it fires at a healthy cluster: %v", a.Labels)
		}
	}
}

// question asks Prometheus' own API.
type question struct {
	c    *cluster
	base string
}

// prometheus runs until the test's end.
func (c *cluster) prometheus() question {
	c.t.Helper()
	dir := c.t.TempDir()
	c.members[0].do("viewer", "create", "prometheus", "--dir", dir)
	text, err := os.ReadFile("../../deploy/prometheus/prometheus.yml")
	if err != nil {
		c.t.Fatal(err)
	}
	rules, err := filepath.Abs("../../deploy/prometheus/rules.yml")
	if err != nil {
		c.t.Fatal(err)
	}
	change := []string{"/etc/prometheus/pgherd/rules.yml", rules, "/etc/prometheus/pgherd", dir, "scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s"}
	for i, m := range c.members {
		change = append(change, "10.0.0."+itoa(i+1)+":7432", m.apiAt())
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o644); err != nil {
		c.t.Fatal(err)
	}
	listen := at(ports.Free(c.t))
	cmd := exec.Command(tool("prometheus"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+listen)
	cmd.Dir = dir
	c.beside("Prometheus", cmd)
	return question{c, "http://" + listen + "/api/v1/"}
}

// get decodes the data of an answer; an answer that does not come changes nothing.
func (q question) get(what string, query url.Values, data any) {
	q.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, q.base+what+"?"+query.Encode(), nil)
	if err != nil {
		q.c.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return // it starts
	}
	defer answer.Body.Close()
	envelope := struct{ Data any }{data}
	if err := json.NewDecoder(answer.Body).Decode(&envelope); err != nil && answer.StatusCode == http.StatusOK {
		q.c.t.Fatal(err)
	}
}

// number is the value of a query that gives one; "" when there is none yet.
func (q question) number(query string) string {
	q.c.t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	q.get("query", url.Values{"query": {query}}, &data)
	if len(data.Result) != 1 {
		return ""
	}
	text, _ := data.Result[0].Value[1].(string)
	return text
}
