package postgres

import (
	"os"
	"strings"
)

// ForgetVariables removes libpq's variables: a PGSERVICE or PGTARGETSESSIONATTRS of whoever
// started the agent must not steer its own connections.
func ForgetVariables() {
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); strings.HasPrefix(key, "PG") && !strings.HasPrefix(key, "PGHERD_") {
			os.Unsetenv(key)
		}
	}
}
