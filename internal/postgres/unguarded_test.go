package postgres

import (
	"slices"
	"testing"
)

// TestCommitWaitIsSeen: whatever lowers synchronous_commit for more than one session, although pgherd's own begin with a value of theirs.
func TestCommitWaitIsSeen(t *testing.T) {
	ctx := testContext(t)
	n := newPrimary(t, newCA(t), "n1", true)
	if f := must(n.db.Facts(ctx))(t); len(f.Waits) > 0 || !Guards(f.CommitWait) {
		t.Fatalf("nobody has set anything: %q, %v", f.CommitWait, f.Waits)
	}
	n.exec(t, "ALTER SYSTEM SET synchronous_commit = 'local'")
	check(t, n.db.Reload(ctx))
	n.await(t, "to see it", func(f Facts) bool { return f.CommitWait == "local" && !Guards(f.CommitWait) })
	n.exec(t, "ALTER SYSTEM RESET synchronous_commit")
	check(t, n.db.Reload(ctx))
	n.await(t, "to see its end", func(f Facts) bool { return Guards(f.CommitWait) })

	n.exec(t, "CREATE ROLE clerk")
	n.exec(t, "ALTER ROLE clerk SET synchronous_commit = OFF")
	n.exec(t, "ALTER DATABASE postgres SET synchronous_commit = remote_write")
	n.exec(t, "ALTER ROLE clerk IN DATABASE postgres SET synchronous_commit = on")
	want := []CommitWait{{"clerk", "postgres", "on"}, {"clerk", "", "off"}, {"", "postgres", "remote_write"}}
	n.await(t, "to see roles and databases", func(f Facts) bool { return slices.Equal(f.Waits, want) })
	for value, guards := range map[string]bool{"": true, "on": true, "REMOTE_APPLY": true, "yes": true, "off": false, "local": false, "remote_write": false, "0": false} {
		if Guards(value) != guards {
			t.Errorf("%q guards: %v", value, !guards)
		}
	}
}

// TestArchiveThatFailsIsSeen: until a file has come through.
func TestArchiveThatFailsIsSeen(t *testing.T) {
	ctx := testContext(t)
	n := newPrimary(t, newCA(t), "n1", true)
	n.exec(t, "ALTER SYSTEM SET archive_mode = 'on'")
	n.exec(t, "ALTER SYSTEM SET archive_command = 'false'")
	n.crash(t)
	n.start(t)
	n.exec(t, "SELECT pg_switch_wal()")
	f := n.await(t, "to fail", func(f Facts) bool { return f.Unarchived != "" })
	if _, ok := parseSegment(f.Unarchived, 1<<20); !ok {
		t.Errorf("%q is no file of WAL", f.Unarchived)
	}
	n.exec(t, "ALTER SYSTEM SET archive_command = 'true'")
	check(t, n.db.Reload(ctx))
	n.await(t, "to succeed", func(f Facts) bool { return f.Unarchived == "" })
}
