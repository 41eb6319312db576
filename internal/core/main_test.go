package core

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes rapid try more than its 100 cases: the core is quick. -rapid.checks
// on the command line still wins.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "3000"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
