package route

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes rapid try more than its 100 cases: deciding is quick. -rapid.checks on the command line
// still wins.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "3000", "rapid.nofailfile": "true"} { // the seed is printed
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
