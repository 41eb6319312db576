package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of DESIGN.md section 3, executed. A rule that only stands on a page is
// broken by the third pull request; this one says why it is there when it fails.

const (
	module           = "github.com/pgherd/pgherd"
	functionLinesMax = 60
	fileLinesMax     = 500
)

type source struct {
	path string // "internal/core/decide.go"
	dir  string // "internal/core"
	test bool
	file *ast.File
	text string
}

var fileSet = token.NewFileSet()

// sources parses every Go file of the repository.
func sources(t *testing.T) (all []source) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "vendor" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fileSet, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		all = append(all, source{rel, filepath.Dir(rel), strings.HasSuffix(name, "_test.go"), f, string(text)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found only %d files: the search is broken", len(all))
	}
	return all
}

func (s source) imports() (paths []string) {
	for _, i := range s.file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

func (s source) in(dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return s.dir == dir || strings.HasPrefix(s.dir, dir+"/") })
}

func under(path string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// imported is a rule on imports: packages in dirs (or, with except, all others) must
// not import any of paths.
type imported struct {
	dirs   []string // empty: everywhere
	except []string
	paths  []string
	allow  []string // of paths, still permitted
	tests  bool     // the rule is for test files too
	why    string
}

var importRules = []imported{
	{dirs: []string{"internal/core"}, paths: []string{"net", "os", "io", "context", "sync", "log", "math/rand", "crypto", "database", "runtime", "syscall", "unsafe", "golang.org", "google.golang.org", "github.com/jackc", "go.etcd.io", module + "/internal"},
		allow: []string{module + "/internal/wal", module + "/internal/spec"},
		why:   "the core is pure: what it cannot touch it cannot depend on, so every decision can be tested, replayed and simulated from data alone"},
	{dirs: []string{"internal/trust"}, paths: []string{"net", "os", "io", "context", "sync", "log", "math/rand", "runtime", "syscall", module + "/internal"},
		allow: []string{module + "/internal/core"},
		why:   "the rules between a decision and its effect are pure, so that the simulator proves the very code that guards the data"},
	{dirs: []string{"internal/invariant"}, paths: []string{"net", "os", "io", "context", "sync", "log", "math/rand", "runtime", "syscall", module + "/internal"},
		allow: []string{module + "/internal/core", module + "/internal/spec", module + "/internal/trust"},
		why:   "what judges decisions in production and in the simulator must see nothing but them"},
	{dirs: []string{"internal/route"}, paths: []string{"net", "os", "io", "context", "sync", "log", "math/rand", "runtime", "syscall", "github.com/jackc", module + "/internal"},
		allow: []string{module + "/internal/core", module + "/internal/spec", module + "/internal/wal"},
		why:   "where clients are sent, and for how long they are held, is decided from data alone, so that each rule of it can be tested without a pooler"},
	{dirs: []string{"internal/whatif"}, paths: []string{"net", "os", "io", "context", "sync", "log", "math/rand", "runtime", "syscall", "github.com/jackc", module + "/internal"},
		allow: []string{module + "/internal/core", module + "/internal/spec", module + "/internal/wal"},
		why:   "what would happen is foretold by the core's own decisions on facts that are handed in: it can change nothing, and cannot decide otherwise than the members would"},
	{dirs: []string{"internal/health"}, paths: []string{"net/http", "os", "io", "context", "sync", "log", "math/rand", "runtime", "syscall", "github.com/jackc", module + "/internal"},
		allow: []string{module + "/internal/core", module + "/internal/spec", module + "/internal/wal"},
		why:   "what load balancers are told follows from the agent's last decision alone, so that each answer can be tested without a member"},
	{dirs: []string{"internal/metrics"}, paths: []string{"net", "os", "io", "sync", "math/rand", "syscall", "github.com/jackc", module + "/internal"},
		allow: []string{"net/http", "net/url", module + "/internal/core", module + "/internal/spec", module + "/internal/wal", module + "/internal/health", module + "/internal/store", module + "/internal/snapshot", module + "/internal/patroni"},
		why:   "what is measured follows from a decision that was made, and an observation takes no lock: who scrapes, and how often, must not be felt by the loop"},
	{dirs: []string{"internal/snapshot", "internal/patroni"}, paths: []string{"net/http", "os", "io", "context", "sync", "log", "math/rand", "runtime", "syscall", "github.com/jackc", module + "/internal"},
		allow: []string{module + "/internal/core", module + "/internal/spec", module + "/internal/wal", module + "/internal/health", module + "/internal/snapshot"},
		why:   "what is said of a member outside follows from what it knows already, so that each document can be tested without a member"},
	{except: []string{"internal/metrics"}, paths: []string{"github.com/prometheus"},
		why: "only internal/metrics knows Prometheus: the parts are given functions to tell what they did, or nothing"},
	{dirs: []string{"internal/ui"}, paths: []string{"os", "net/http/httputil", "log", "context", module},
		why: "the dashboard's files are the same for everybody and hold no data: what serves them knows neither cluster nor API, so that it can give nothing away"},
	{except: []string{"test/integration"}, paths: []string{"github.com/chromedp"}, tests: true,
		why: "a browser is for tests of what people see in one, and for nothing that is shipped"},
	{dirs: []string{"internal/endpoint"}, paths: []string{module + "/internal/agent", module + "/internal/cli", module + "/internal/api", module + "/internal/act", module + "/internal/observe", module + "/internal/warden"},
		why: "endpoints run on hosts without a server of their own, too: they may know the store, members and poolers, and nothing of the agent's parts"},
	{dirs: []string{"internal/poolerhost"}, paths: []string{module + "/internal/agent", module + "/internal/cli", module + "/internal/act", module + "/internal/observe", module + "/internal/warden", module + "/internal/route", module + "/internal/store/etcd", module + "/internal/store/embed", module + "/internal/store/mem"},
		why: "a host that only pools has no store, no server and no say in where clients go: what it may know of the cluster, the members' API tells it"},
	{dirs: []string{"internal/replay"}, paths: []string{"net", "os", "context", "log", "math/rand", "syscall", module + "/internal"},
		allow: []string{module + "/internal/core", module + "/internal/invariant", module + "/internal/journal"},
		why:   "a decision that is made again must depend on the journal alone"},
	{dirs: []string{"internal/wal", "internal/spec", "internal/statedir"}, paths: []string{module}, allow: []string{module + "/internal/wal", module + "/internal/spec"}, tests: true,
		why: "these are leaves: everything may import them, so they may import nothing of ours"},
	{dirs: []string{"internal/postgres", "internal/store", "internal/warden", "internal/pki", "internal/peer", "internal/observe", "internal/act", "internal/journal"},
		paths: []string{module + "/internal/agent", module + "/internal/cli", module + "/internal/demo"},
		why:   "imports point down: the loop knows its parts, its parts do not know the loop"},
	{dirs: []string{"internal/postgres", "internal/store", "internal/warden", "internal/pki"},
		paths: []string{module + "/internal/observe", module + "/internal/act", module + "/internal/api", module + "/internal/journal"},
		why:   "imports point down: what touches the world does not know who asks"},
	{dirs: []string{"internal/observe"}, paths: []string{module + "/internal/act", module + "/internal/api"},
		why: "looking must have no effects"},
	{except: []string{"internal/store/etcd", "internal/store/embed"}, paths: []string{"go.etcd.io"},
		why: "only two packages know etcd; everything else talks to the port in internal/store, which the conformance suite holds to its word"},
	{except: []string{"internal/postgres", "internal/pooler", "internal/demo", "lab/load", "lab/cluster", "bench/handover", "bench/face", "bench/follow", "client"}, paths: []string{"github.com/jackc"},
		why: "only internal/postgres speaks SQL (the demo's and the laboratory's writers are clients like any other; clients of bench/face and bench/follow, too; bench/handover's script stands for a person who does by hand what pgherd does; PgBouncer's console speaks PostgreSQL's protocol, but no SQL; package client is for programs that speak it)"},
	{dirs: []string{"bench/report", "bench/proc", "bench/pgbench"}, paths: []string{module},
		why: "what benchmarks share does not know what is compared, so that it cannot favour a side"},
	{dirs: []string{"client"}, paths: []string{module},
		why: "the package is public: programs build on it that must not feel what is changed inside"},
	{dirs: []string{"internal/pooler"}, paths: []string{module},
		why: "what drives PgBouncer does as it is told: it knows no cluster, no lease and no member, so that it can be proved with PgBouncer alone"},
	{dirs: []string{"internal/vip", "internal/hook", "internal/privilege", "internal/sdnotify", "internal/pidone"}, paths: []string{module},
		why: "they are drivers: they do to this machine what they are told, and a cluster or a role is nothing that they could ask about"},
	{except: []string{"internal/vip"}, paths: []string{"github.com/vishvananda"},
		why: "only internal/vip changes the machine's network, and only its own address"},
	{dirs: []string{"test/docs"}, paths: []string{module}, tests: true,
		why: "what finds commands in the pages serves those who parse them and those who run them: it is a leaf, or a page could be read in two ways"},
	{dirs: []string{"lab/history"}, paths: []string{"net", "os", "io", "context", "log", "math/rand", "testing", module}, allow: []string{module + "/internal/wal"},
		why: "what judges a history sees nothing but the history: the simulator shares it"},
	{dirs: []string{"internal/api", "internal/cli"}, paths: []string{module + "/internal/act"},
		why: "an API call is an intent in the store, never a direct effect"},
}

func TestImports(t *testing.T) {
	all := sources(t)
	for _, rule := range importRules {
		seen := false
		for _, s := range all {
			applies := len(rule.dirs) == 0 && !s.in(rule.except...) || len(rule.dirs) > 0 && s.in(rule.dirs...)
			if !applies || s.test && !rule.tests {
				continue
			}
			seen = true
			for _, path := range s.imports() {
				if under(path, rule.paths...) && !under(path, rule.allow...) {
					t.Errorf("%s imports %s: %s", s.path, path, rule.why)
				}
			}
		}
		if !seen {
			t.Errorf("the rule for %v meets no file", rule.dirs)
		}
	}
}

// The core sees no clock: the time is View.Now.
func TestCoreReadsNoClock(t *testing.T) {
	banned := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
	for _, s := range sources(t) {
		if !s.in("internal/core") || s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(banned, sel.Sel.Name) {
				t.Errorf("%s uses time.%s: the core must get its time from View.Now, or a decision could not be replayed", s.path, sel.Sel.Name)
			}
			return true
		})
		ast.Inspect(s.file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s starts a goroutine: the same view must give the same plan", s.path)
			}
			return true
		})
	}
}

// PostgreSQL's programs are named in one package only: a version that renames one, or
// an option that changes, is then one place to look at.
func TestOnlyPostgresNamesItsPrograms(t *testing.T) {
	programs := []string{"pg_ctl", "pg_rewind", "pg_basebackup", "pg_controldata", "pg_waldump", "pg_verifybackup", "initdb", "pg_resetwal"}
	for _, s := range sources(t) {
		if s.test || s.in("internal/postgres", "internal/demo", "lab") { // the demo and the laboratory look for processes left over, by name
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			// A program's name alone, or as the end of a path, is a call; in a sentence it is a word.
			value, _ := strconv.Unquote(lit.Value)
			if slices.Contains(programs, filepath.Base(value)) {
				t.Errorf("%s names the program %q: only internal/postgres runs PostgreSQL's programs", s.path, value)
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItMustNotDo(t *testing.T) {
	docs, dirs := map[string]string{}, map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			dirs[s.dir] = true
		}
		if !s.test && s.file.Doc != nil {
			docs[s.dir] += s.file.Doc.Text()
		}
	}
	for dir := range dirs {
		if !strings.HasPrefix(dir, "internal/") && !strings.HasPrefix(dir+"/", "lab/") {
			continue
		}
		text := strings.Join(strings.Fields(docs[dir]), " ")
		switch {
		case text == "":
			t.Errorf("%s has no package comment; write a doc.go", dir)
		case !strings.Contains(text, "must not"):
			t.Errorf("%s: the package comment does not say what the package must not do: that half keeps a package small", dir)
		}
	}
}

func TestNoPackageIsADrawer(t *testing.T) {
	for _, s := range sources(t) {
		for _, part := range strings.Split(s.dir, "/") {
			if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "misc", "shared", "base"}, part) {
				t.Errorf("%s: %q is a drawer, not a room; name the package for what it does", s.path, part)
			}
		}
	}
}

// Functions and files that one can read in a sitting.
func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if ast.IsGenerated(s.file) {
			continue
		}
		lines := strings.Count(s.text, "\n")
		if lines > fileLinesMax && !s.test {
			t.Errorf("%s has %d lines, more than %d", s.path, lines, fileLinesMax)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := fileSet.Position(f.End()).Line - fileSet.Position(f.Pos()).Line + 1; n > functionLinesMax && !s.test {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, f.Name.Name, n, functionLinesMax)
			}
		}
	}
}

// The core stays small and is tested more than anything else.
func TestCoreIsSmallAndTested(t *testing.T) {
	code, rules, tests := 0, 0, 0
	for _, s := range sources(t) {
		if !s.in("internal/core") {
			continue
		}
		if s.test {
			tests += strings.Count(s.text, "\n")
			continue
		}
		code += codeLines(s.text)
		if !slices.Contains(coreVocabulary, filepath.Base(s.path)) {
			rules += codeLines(s.text)
		}
	}
	scripts, err := filepath.Glob(filepath.Join("..", "core", "testdata", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tests += strings.Count(string(text), "\n")
	}
	t.Logf("core: %d lines of code, %d of them rules, %d lines of tests", code, rules, tests)
	if rules > coreRulesMax {
		t.Errorf("core has %d lines of rules, more than %d: what is one person to hold in the head?", rules, coreRulesMax)
	}
	if tests < 3*code {
		t.Errorf("core has %d lines of tests for %d of code; want three times as many", tests, code)
	}
}

// coreRulesMax counts lines that are neither empty nor comment, in the files that decide: see
// docs/decisions/2026-11-25-core-counts-its-rules.md and 2026-11-28-handover-in-the-core.md and 2026-11-28-standbys-go-ahead.md and 2026-11-29-what-an-audit-of-handovers-found.md. It may only shrink.
const coreRulesMax = 2085

// coreVocabulary are core's files that name things, or tell a person what is so, and decide
// nothing: TestCoreVocabularyDecidesNothing.
var coreVocabulary = []string{"view.go", "plan.go", "record.go", "reason.go", "time.go", "health.go"}

// What is not counted as a rule must not act as one.
func TestCoreVocabularyDecidesNothing(t *testing.T) {
	acts := []string{"do", "guarded", "job", "start", "configure", "release", "take", "putLease", "putRenewal", "putOperation", "endOperation", "wakeIn", "wakeAt"}
	seen := 0
	for _, s := range sources(t) {
		if !s.in("internal/core") || s.test || !slices.Contains(coreVocabulary, filepath.Base(s.path)) {
			continue
		}
		seen++
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(acts, sel.Sel.Name) {
				return true
			}
			if on, ok := sel.X.(*ast.Ident); ok && on.Name == "d" {
				t.Errorf("%s calls d.%s: it is not counted among the rules, so it must not decide", s.path, sel.Sel.Name)
			}
			return true
		})
	}
	if seen != len(coreVocabulary) {
		t.Errorf("found %d of %d files", seen, len(coreVocabulary))
	}
}

func codeLines(text string) (n int) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			n++
		}
	}
	return n
}
