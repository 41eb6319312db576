package main

import (
	"strings"
	"testing"
)

func run(t *testing.T, ci bool, lines ...string) (string, int) {
	t.Helper()
	var out strings.Builder
	o := &overview{w: &out, output: map[string]*strings.Builder{}, counts: map[string]map[string]int{}, packages: map[string]int{}}
	if err := o.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	code := o.end(ci)
	return out.String(), code
}

const (
	passed   = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1}`
	packPass = `{"Action":"pass","Package":"p","Elapsed":1}`
)

func TestFailuresShowTheirOutput(t *testing.T) {
	out, code := run(t, false, passed,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: got 1, want 2\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestB","Elapsed":2}`,
		`{"Action":"fail","Package":"p","Elapsed":3}`)
	for _, want := range []string{"b_test.go:7: got 1, want 2", "1 tests passed, 1 failed", "FAILED p TestB"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func TestBrokenBuildFails(t *testing.T) {
	out, code := run(t, false, passed, packPass,
		`{"Action":"build-output","ImportPath":"q","Output":"q.go:1: syntax error\n"}`,
		`{"Action":"output","Package":"q","Output":"FAIL\tq [build failed]\n"}`,
		`{"Action":"fail","Package":"q","FailedBuild":"q"}`)
	if code != 1 || !strings.Contains(out, "syntax error") || !strings.Contains(out, "FAILED q") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestSkipsAreTold(t *testing.T) {
	skip := func(reason string) []string {
		return []string{passed, `{"Action":"output","Package":"p","Test":"TestS","Output":"    s_test.go:30: ` + reason + `\n"}`,
			`{"Action":"skip","Package":"p","Test":"TestS"}`, packPass}
	}
	for _, c := range []struct {
		reason string
		ci     bool
		code   int
	}{{"no PostgreSQL is installed", true, 1}, {"no PostgreSQL is installed", false, 0}, {"needs root", true, 0}} {
		out, code := run(t, c.ci, skip(c.reason)...)
		if code != c.code || !strings.Contains(out, "p TestS: "+c.reason) {
			t.Errorf("%+v: exit code %d:\n%s", c, code, out)
		}
	}
}

func TestNothingRunIsAFailure(t *testing.T) {
	if _, code := run(t, false, "go: no such module"); code != 1 {
		t.Errorf("exit code %d", code)
	}
}
