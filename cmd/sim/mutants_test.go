package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant whose text is gone would be scored as not built only by `make sim-mutants`, which
// does not run for each change.
func TestMutantsApply(t *testing.T) {
	if len(mutants) < 15 {
		t.Errorf("only %d mutants", len(mutants))
	}
	names := map[string]bool{}
	defer func() {
		for name := range rare {
			if !names[name] {
				t.Errorf("%q is rare, and is no mutant", name)
			}
		}
	}()
	for _, m := range mutants {
		if names[m.name] || m.why == "" || len(m.edits) == 0 {
			t.Errorf("%q is there twice, or says nothing", m.name)
		}
		names[m.name] = true
		for _, e := range m.edits {
			text, err := os.ReadFile(filepath.Join("..", "..", e.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), e.old); n != 1 || e.old == e.new {
				t.Errorf("%s: %s has the text to replace %d times: %q", m.name, e.file, n, e.old)
			}
		}
	}
}
