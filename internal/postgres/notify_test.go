package postgres

import (
	"os"
	"strings"
	"testing"
)

// TestNotify: who listens in any database hears it; a database that cannot be entered holds up none of the others.
func TestNotify(t *testing.T) {
	ctx := testContext(t)
	n := newPrimary(t, newCA(t), "n1", true)
	n.exec(t, "CREATE DATABASE app")
	n.exec(t, "CREATE DATABASE bad")
	check(t, os.Remove(n.in.path("base/"+n.text(t, "SELECT oid::text FROM pg_database WHERE datname = 'bad'")+"/PG_VERSION")))
	n.exec(t, "CREATE DATABASE closed")
	n.exec(t, "ALTER DATABASE closed ALLOW_CONNECTIONS false")
	for _, database := range []string{"app", "postgres"} {
		conn := must(n.db.dialTo(ctx, database))(t)
		defer closeSoon(conn)
		_ = must(conn.Exec(ctx, "LISTEN pgherd"))(t)
		if err := n.db.Notify(ctx, "pgherd", `it's "so"`); err == nil || !strings.Contains(err.Error(), "database bad: ") || strings.Contains(err.Error(), "app") {
			t.Errorf("only bad should fail: %v", err)
		}
		if got := must(conn.WaitForNotification(ctx))(t); got.Payload != `it's "so"` || got.Channel != "pgherd" {
			t.Errorf("%s: %+v", database, got)
		}
	}
	n.crash(t)
	if err := n.db.Notify(ctx, "pgherd", "x"); err == nil {
		t.Error("no server, and no error")
	}
}
