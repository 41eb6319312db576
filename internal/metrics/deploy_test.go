package metrics

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/pgherd/pgherd/internal/snapshot"
)

var update = flag.Bool("update", false, "write the table of docs/metrics.md anew")

const (
	rulesDir  = "../../deploy/prometheus"
	dashboard = "../../deploy/grafana/pgherd.json"
	page      = "../../docs/metrics.md"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// promtool is Prometheus' own, from Debian's package.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		program = "/usr/local/lib/pgherd/promtool" // where scripts/deps.sh puts it
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdin = rulesDir, strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("promtool %s: %v (`make deps` installs it)\n%s", strings.Join(args, " "), err, out)
	}
}

// TestAlertRules: each alert fires at what it is for, and none in a healthy cluster.
func TestAlertRules(t *testing.T) {
	promtool(t, "", "check", "rules", "rules.yml")
	promtool(t, "", "check", "config", "--syntax-only", "prometheus.yml")
	promtool(t, "", "test", "rules", "rules_test.yml")
	tests := read(t, filepath.Join(rulesDir, "rules_test.yml"))
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, filepath.Join(rulesDir, "rules.yml")), -1)
	if len(alerts) < 20 {
		t.Errorf("found only %d alerts", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(tests, `alertname="`+a[1]+`"`) {
			t.Errorf("no test makes %s fire", a[1])
		}
	}
}

// exposed gives every name under which a sample or a metric may be asked for.
func exposed(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{"up": true, "ALERTS": true}
	for _, s := range []snapshot.Snapshot{primary(), standby()} {
		for _, f := range gather(t, s) {
			names[f.GetName()] = true
			if f.GetType() == dto.MetricType_HISTOGRAM {
				names[f.GetName()+"_bucket"], names[f.GetName()+"_sum"], names[f.GetName()+"_count"] = true, true, true
			}
		}
	}
	_, ours := Catalogue()
	for _, f := range ours { // some have no series in these two
		names[f.Name] = true
	}
	return names
}

var metricName = regexp.MustCompile(`\b(?:pgherd|patroni|process|go)_\w+`)

func TestRulesAskForWhatThereIs(t *testing.T) {
	names := exposed(t)
	for _, file := range []string{"rules.yml", "rules_test.yml"} {
		for _, name := range metricName.FindAllString(read(t, filepath.Join(rulesDir, file)), -1) {
			if !names[name] {
				t.Errorf("%s asks for %s, which is not exposed", file, name)
			}
		}
	}
}

func TestDashboardAsksForWhatThereIs(t *testing.T) {
	names := exposed(t)
	var board struct {
		UID    string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	text := read(t, dashboard)
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatal(err)
	}
	ids, queries := map[int]bool{}, 0
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: its id, title or place is wrong", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			queries++
			found := metricName.FindAllString(q.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%q asks for nothing of ours: %s", p.Title, q.Expr)
			}
			for _, name := range found {
				if !names[name] {
					t.Errorf("%q asks for %s, which is not exposed", p.Title, name)
				}
			}
		}
	}
	if queries < 25 {
		t.Errorf("found only %d queries: the search is broken", queries)
	}
}

// TestDashboardsQueriesAreValid has promtool read each as a rule.
func TestDashboardsQueriesAreValid(t *testing.T) {
	type query struct{ Expr string }
	var board struct {
		Panels      []struct{ Targets []query }
		Annotations struct{ List []query }
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &board); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	n := 0
	for _, p := range append(board.Panels, struct{ Targets []query }{board.Annotations.List}) {
		for _, q := range p.Targets {
			n++
			expr, _ := json.Marshal(strings.NewReplacer("$cluster", "main", "$__rate_interval", "1m").Replace(q.Expr))
			fmt.Fprintf(&rules, "      - {record: 'q%d', expr: %s}\n", n, expr)
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}

const began, ended = "<!-- made by go test ./internal/metrics -run Page -update -->\n", "<!-- end -->\n"

// TestPageIsTheCatalogue holds the tables of docs/metrics.md against what is registered.
func TestPageIsTheCatalogue(t *testing.T) {
	patronis, ours := Catalogue()
	registered := map[string]bool{}
	for name := range exposed(t) {
		registered[name] = true
	}
	for _, f := range ours {
		if f.Help == "" || strings.Contains(f.Help, "|") {
			t.Errorf("%s: its help is no cell of a table", f.Name)
		}
	}
	want := began + table(ours) + "\n## Under Patroni's names\n\n" + table(patronis) + ended
	text := read(t, page)
	from, to := strings.Index(text, began), strings.Index(text, ended)
	if from < 0 || to < from {
		t.Fatal("the page has no place for the table")
	}
	if text[from:to+len(ended)] == want {
		return
	}
	if !*update {
		t.Fatalf("docs/metrics.md is not what is registered: go test ./internal/metrics -run Page -update")
	}
	if err := os.WriteFile(page, []byte(text[:from]+want+text[to+len(ended):]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table(list []Family) string {
	var b strings.Builder
	b.WriteString("\n| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n")
	for _, f := range list {
		labels := strings.Join(f.Labels, ", ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, labels, f.Unit, f.Help)
	}
	return b.String()
}

// TestCatalogueIsRegistered: what the catalogue lists is what the registry has, with its type, in both directions.
func TestCatalogueIsRegistered(t *testing.T) {
	patronis, ours := Catalogue()
	listed := map[string]string{}
	for _, f := range append(patronis, ours...) {
		listed[f.Name] = f.Type
	}
	for _, f := range gather(t, primary(func(s *snapshot.Snapshot) {
		s.View.Local.Job.Running, s.View.Local.Job.Kind = true, "checkpoint"
	})) {
		name := f.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if listed[name] != strings.ToLower(f.GetType().String()) {
			t.Errorf("%s is a %s, and %q in the catalogue", name, f.GetType(), listed[name])
		}
		delete(listed, name)
	}
	delete(listed, "pgherd_operation_active") // none is under way
	for name := range listed {
		t.Errorf("%s has no value on a primary", name)
	}
}
