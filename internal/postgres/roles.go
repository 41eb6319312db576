package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

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
// often writes no WAL. Its parameter is lookupBody.
const rolesRightSQL = `
SELECT count(*) = 3
   AND bool_and(rolcanlogin AND NOT rolsuper AND NOT rolcreaterole AND NOT rolcreatedb AND NOT rolbypassrls
                AND rolpassword IS NULL AND rolconnlimit = -1 AND coalesce(rolvaliduntil, 'infinity') = 'infinity'
                AND rolreplication = (rolname = 'pgherd_replicator'))
   AND bool_and(rolname <> 'pgherd_rewind' OR (
           has_function_privilege(oid, 'pg_ls_dir(text, boolean, boolean)', 'execute')
       AND has_function_privilege(oid, 'pg_stat_file(text, boolean)', 'execute')
       AND has_function_privilege(oid, 'pg_read_binary_file(text)', 'execute')
       AND has_function_privilege(oid, 'pg_read_binary_file(text, bigint, bigint, boolean)', 'execute')
       AND has_database_privilege(oid, 'postgres', 'connect')
       AND pg_has_role(oid, 'pg_read_all_stats', 'member')))
   AND bool_and(rolname <> 'pgherd_pooler' OR (
           has_database_privilege(oid, 'postgres', 'connect')
       AND has_schema_privilege(oid, to_regnamespace('pgherd'), 'usage')
       AND has_function_privilege(oid, to_regprocedure('pgherd.lookup(text)'), 'execute')))
   AND EXISTS (SELECT 1 FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles s ON s.oid = n.nspowner
                WHERE p.oid = to_regprocedure('pgherd.lookup(text)') AND p.prosecdef AND o.rolsuper AND s.rolsuper
                  AND p.prosrc = $1 AND p.proconfig = '{"search_path=pg_catalog, pg_temp"}'
                  AND NOT EXISTS (SELECT 1 FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                                   WHERE a.grantee <> p.proowner AND a.grantee IS DISTINCT FROM to_regrole('pgherd_pooler')))
  FROM pg_authid WHERE rolname IN ('pgherd_replicator', 'pgherd_rewind', 'pgherd_pooler')`

// lookupBody is what a pooler may know of a role: the secret by which a client's password is
// checked, which is not the password. Nothing of roles that a client may not be: superusers,
// pgherd's own, those without login or past their date; and no MD5 hash, which is as good as the
// password itself.
const lookupBody = `
SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid
 WHERE rolname = $1::name AND octet_length($1) < 64
   AND rolcanlogin AND NOT rolsuper AND rolname <> 'postgres' AND rolname !~ '^pgherd_'
   AND rolpassword ~ '^SCRAM-SHA-256[$]' AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())
`

// lookupSQL makes the function so that nobody but a superuser can change it, and nobody but a
// pooler call it: whoever made the schema before, and whatever default privileges there are. Its
// search_path is fixed, or a caller's own operators would run as superuser.
var lookupSQL = []string{
	`CREATE SCHEMA IF NOT EXISTS pgherd`,
	`ALTER SCHEMA pgherd OWNER TO CURRENT_USER`,
	`DROP ROUTINE IF EXISTS pgherd.lookup(text) CASCADE`,
	`CREATE FUNCTION pgherd.lookup(text) RETURNS TABLE (rolname text, rolpassword text)
	 LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $lookup$` + lookupBody + `$lookup$`,
	`DO $$ DECLARE who text; BEGIN
	   FOR who IN SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
	     FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	    WHERE p.oid = 'pgherd.lookup(text)'::regprocedure AND a.grantee <> p.proowner
	   LOOP EXECUTE 'REVOKE ALL ON FUNCTION pgherd.lookup(text) FROM ' || who || ' CASCADE'; END LOOP;
	 END $$`,
	`GRANT USAGE ON SCHEMA pgherd TO ` + RolePooler,
	`GRANT EXECUTE ON FUNCTION pgherd.lookup(text) TO ` + RolePooler,
	`GRANT CONNECT ON DATABASE postgres TO ` + RolePooler,
}

// EnsureRoles makes pgherd's own roles, and what a pooler asks, what they should be, on a
// primary. None has a password: they come in by certificate only.
func (db *DB) EnsureRoles(ctx context.Context) error {
	err := db.apart(ctx, func(c *pgx.Conn) error {
		var right *bool
		if err := c.QueryRow(ctx, rolesRightSQL, lookupBody).Scan(&right); err != nil || right != nil && *right {
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
	for role, replication := range map[string]string{RoleReplicator: "REPLICATION", RoleRewind: "NOREPLICATION", RolePooler: "NOREPLICATION"} {
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
	for _, sql := range lookupSQL {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}
