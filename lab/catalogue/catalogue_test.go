package catalogue

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/core"
)

var update = flag.Bool("update", false, "write docs/failures.md")

const page = "../../docs/failures.md"

// TestPageIsMadeOfTheCatalogue: `make failures` writes it anew.
func TestPageIsMadeOfTheCatalogue(t *testing.T) {
	now, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Replace(string(now))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(now) {
		t.Errorf("docs/failures.md is not what the catalogue renders: run `make failures`")
	}
}

// TestEveryNumberHasItsScenario: the reference lists 42.
func TestEveryNumberHasItsScenario(t *testing.T) {
	seen, names := map[int]bool{}, map[string]bool{}
	for _, e := range Entries() {
		seen[e.Number] = true
		if names[e.Name] {
			t.Errorf("%s is there twice", e.Name)
		}
		names[e.Name] = true
		if e.Fault == "" || e.Happens == "" || e.Sees == "" || strings.ContainsAny(e.Fault+e.Happens+e.Sees+e.Limit, "|\n") {
			t.Errorf("%s says not all, or in a way that breaks the table", e.Name)
		}
	}
	for n := 1; n <= 42; n++ {
		if !seen[n] {
			t.Errorf("number %d has no entry", n)
		}
	}
}

// TestEntriesAndScenariosAreTheSame: a row without a scenario would be a claim, a scenario
// without a row a secret.
func TestEntriesAndScenariosAreTheSame(t *testing.T) {
	have := scenarios(t)
	for _, e := range Entries() {
		if !slices.Contains(have, e.Name) {
			t.Errorf("%s has no scenario in lab/", e.Name)
		}
	}
	for _, name := range have {
		if !slices.Contains(Names(false), name) {
			t.Errorf("the scenario %s has no entry in lab/catalogue", name)
		}
	}
}

// scenarios finds the names of all scenario{name: "...", run: ...} in lab/. They have a build tag, so
// that they are read and not run.
func scenarios(t *testing.T) (names []string) {
	files, _ := filepath.Glob("../*_test.go")
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if name, ok := scenarioName(n); ok {
				names = append(names, name)
			}
			return true
		})
	}
	if len(names) == 0 {
		t.Error("no scenario was found in lab/: the search is broken")
	}
	return names
}

func scenarioName(n ast.Node) (string, bool) {
	lit, ok := n.(*ast.CompositeLit)
	if !ok {
		return "", false
	}
	name := ""
	for _, el := range lit.Elts {
		kv, ok := el.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, _ := kv.Key.(*ast.Ident)
		value, _ := kv.Value.(*ast.BasicLit)
		if key != nil && key.Name == "name" && value != nil {
			name, _ = strconv.Unquote(value.Value)
		}
	}
	kind, _ := lit.Type.(*ast.Ident)
	return name, name != "" && (kind == nil || kind.Name == "scenario")
}

// TestConditionsExist: what the page tells the operator to look for is what pgherd says.
func TestConditionsExist(t *testing.T) {
	quoted := regexp.MustCompile("`([a-z]+(_[a-z]+)+)`")
	events, err := os.ReadFile("../../internal/journal/events.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range Entries() {
		for _, m := range quoted.FindAllStringSubmatch(e.Sees, -1) {
			if _, _, known := core.Catalogued(core.Code(m[1])); !known && !strings.Contains(string(events), `"`+m[1]+`"`) {
				t.Errorf("%s: %s is no condition and no event of pgherd", e.Name, m[1])
			}
		}
	}
}

func TestReplaceNeedsItsPlace(t *testing.T) {
	if _, err := Replace("no place"); err == nil {
		t.Error("a page without a place for the table was accepted")
	}
	got, err := Replace("above\n" + Begin + "\noutdated row\n" + End + "\nbelow\n")
	if err != nil || !strings.HasPrefix(got, "above\n"+Begin) || !strings.HasSuffix(got, End+"\nbelow\n") || strings.Contains(got, "outdated row") {
		t.Errorf("%v\n%s", err, got)
	}
}
