package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CreateSlot makes a physical replication slot that keeps WAL from now on. One that
// exists is left as it is.
func (db *DB) CreateSlot(ctx context.Context, name string) error {
	return db.exec(ctx, "create slot "+name,
		`SELECT pg_create_physical_replication_slot($1, true)
		  WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = $1)`, name)
}

// DropSlot removes a slot; one that is not there is no error, one in use is.
func (db *DB) DropSlot(ctx context.Context, name string) error {
	return db.exec(ctx, "drop slot "+name,
		`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, name)
}

// rewindGrants is what pg_rewind's documentation asks for, and the statistics role
// so that a clone can learn how much it will copy.
var rewindGrants = []string{
	"EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean)",
	"EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean)",
	"EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text)",
	"EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
	"CONNECT ON DATABASE postgres",
	"pg_read_all_stats",
}

// rolesRightSQL tells whether there is nothing to do, so that calling EnsureRoles
// often writes no WAL.
const rolesRightSQL = `
SELECT count(*) = 2
   AND bool_and(rolcanlogin AND NOT rolsuper AND NOT rolcreaterole AND NOT rolcreatedb AND NOT rolbypassrls
                AND rolpassword IS NULL AND rolconnlimit = -1 AND rolvaliduntil IS NULL
                AND rolreplication = (rolname = 'pgherd_replicator'))
   AND bool_and(rolname <> 'pgherd_rewind' OR (
           has_function_privilege(oid, 'pg_ls_dir(text, boolean, boolean)', 'execute')
       AND has_function_privilege(oid, 'pg_stat_file(text, boolean)', 'execute')
       AND has_function_privilege(oid, 'pg_read_binary_file(text)', 'execute')
       AND has_function_privilege(oid, 'pg_read_binary_file(text, bigint, bigint, boolean)', 'execute')
       AND has_database_privilege(oid, 'postgres', 'connect')
       AND pg_has_role(oid, 'pg_read_all_stats', 'member')))
  FROM pg_authid WHERE rolname IN ('pgherd_replicator', 'pgherd_rewind')`

// EnsureRoles makes pgherd_replicator and pgherd_rewind what they should be, on a
// primary. Neither has a password: they come in by certificate only.
func (db *DB) EnsureRoles(ctx context.Context) error {
	err := db.apart(ctx, func(c *pgx.Conn) error {
		var right bool
		if err := c.QueryRow(ctx, rolesRightSQL).Scan(&right); err != nil || right {
			return err
		}
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return makeRoles(ctx, tx) })
	})
	if err != nil {
		return fmt.Errorf("pgherd's roles: %w", err)
	}
	return nil
}

func makeRoles(ctx context.Context, tx pgx.Tx) error {
	for role, replication := range map[string]string{RoleReplicator: "REPLICATION", RoleRewind: "NOREPLICATION"} {
		var there bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)", role).Scan(&there); err != nil {
			return err
		}
		verb := "CREATE"
		if there {
			verb = "ALTER"
		}
		sql := fmt.Sprintf("%s ROLE %s LOGIN %s NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS CONNECTION LIMIT -1 PASSWORD NULL VALID UNTIL 'infinity'",
			verb, role, replication)
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, grant := range rewindGrants {
		if _, err := tx.Exec(ctx, "GRANT "+grant+" TO "+RoleRewind); err != nil {
			return err
		}
	}
	return nil
}
