package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// dialRole opens a session by certificate over TLS.
func (n *node) dialRole(t testing.TB, role, cert string) *pgx.Conn {
	t.Helper()
	conn := must(pgx.Connect(testContext(t), "host=127.0.0.1 port="+n.text(t, "SHOW port")+" dbname=postgres sslmode=verify-full user="+role+
		" sslrootcert="+n.ca.file("ca.crt")+" sslcert="+n.ca.file(cert+".crt")+" sslkey="+n.ca.file(cert+".key")))(t)
	t.Cleanup(func() { closeSoon(conn) })
	return conn
}

func (n *node) rolesRight(t testing.TB) bool {
	t.Helper()
	ctx := testContext(t)
	conn := must(n.db.dial(ctx))(t)
	defer closeSoon(conn)
	var right *bool
	check(t, conn.QueryRow(ctx, rolesRightSQL, lookupBody).Scan(&right))
	return right != nil && *right
}

// checkRoles: what is missing is seen and made again; what is right is left alone.
func checkRoles(t *testing.T, n *node) {
	ctx := testContext(t)
	if !n.rolesRight(t) {
		t.Fatal("right after EnsureRoles something is to be done")
	}
	if !must(n.db.Facts(ctx))(t).Roles {
		t.Error("the facts say that roles are missing")
	}
	n.exec(t, "CREATE ROLE mallory")
	for name, damage := range map[string]struct {
		sql  []string
		seen bool // by the facts, which only look for what is missing
	}{
		"a cluster from before there were poolers": {[]string{"DROP SCHEMA pgherd CASCADE", "REVOKE ALL ON DATABASE postgres FROM pgherd_pooler", "DROP ROLE pgherd_pooler"}, true},
		"function dropped":                         {[]string{"DROP FUNCTION pgherd.lookup"}, true},
		"function of another's":                    {[]string{"ALTER FUNCTION pgherd.lookup OWNER TO mallory"}, false},
		"schema of another's":                      {[]string{"ALTER SCHEMA pgherd OWNER TO mallory"}, false},
		"everybody may call it":                    {[]string{"GRANT EXECUTE ON FUNCTION pgherd.lookup TO PUBLIC"}, false},
		"another may call it":                      {[]string{"GRANT EXECUTE ON FUNCTION pgherd.lookup TO mallory"}, false},
		"path of the caller's":                     {[]string{"ALTER FUNCTION pgherd.lookup RESET ALL"}, false},
		"another result":                           {[]string{"DROP FUNCTION pgherd.lookup", "CREATE FUNCTION pgherd.lookup(text) RETURNS int LANGUAGE sql AS 'SELECT 1'"}, false},
		"the schema may not be used":               {[]string{"REVOKE USAGE ON SCHEMA pgherd FROM pgherd_pooler"}, false},
		"default privileges for another":           {[]string{"ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO mallory", "DROP FUNCTION pgherd.lookup"}, true},
		"role with a password":                     {[]string{"ALTER ROLE pgherd_pooler PASSWORD 'x'"}, false},
		"role is superuser":                        {[]string{"ALTER ROLE pgherd_pooler SUPERUSER"}, false},
	} {
		for _, sql := range damage.sql {
			n.exec(t, sql)
		}
		if n.rolesRight(t) {
			t.Errorf("%s: not noticed", name)
		}
		if f := must(n.db.Facts(ctx))(t); f.Roles == damage.seen {
			t.Errorf("%s: the facts say roles = %v", name, f.Roles)
		}
		check(t, n.db.EnsureRoles(ctx))
		if f := must(n.db.Facts(ctx))(t); !n.rolesRight(t) || !f.Roles {
			t.Errorf("%s: not put right", name)
		}
	}
	n.exec(t, "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM mallory")
	n.exec(t, "DROP ROLE mallory")
}

// checkLookup: a pooler learns the secrets of those who may come through it, and nothing else.
func checkLookup(t *testing.T, n *node) {
	ctx := testContext(t)
	for _, sql := range []string{
		"CREATE ROLE shop LOGIN PASSWORD 'secret'", `CREATE ROLE "Odd ""name'" LOGIN PASSWORD 'secret'`,
		"CREATE ROLE root LOGIN SUPERUSER PASSWORD 'secret'", "CREATE ROLE pgherd_mine LOGIN PASSWORD 'secret'",
		"CREATE ROLE nologin PASSWORD 'secret'", "CREATE ROLE past LOGIN PASSWORD 'secret' VALID UNTIL '2001-01-01'",
		"CREATE ROLE future LOGIN PASSWORD 'secret' VALID UNTIL 'infinity'", "CREATE ROLE empty LOGIN",
		"CREATE ROLE old LOGIN PASSWORD 'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
		"ALTER ROLE postgres PASSWORD 'secret'",
	} {
		n.exec(t, sql)
	}
	long := "l23456789012345678901234567890123456789012345678901234567890123" // 63 bytes
	n.exec(t, "CREATE ROLE "+long+" LOGIN PASSWORD 'secret'")
	conn := n.dialRole(t, RolePooler, "app1")
	for role, want := range map[string]bool{"shop": true, `Odd "name'`: true, "future": true, long: true,
		"root": false, "postgres": false, "pgherd_mine": false, "pgherd_replicator": false, "nologin": false, "past": false,
		"empty": false, "old": false, "nobody": false, "": false, "shop' OR true --": false, "SHOP": false, long + "x": false} {
		var name, secret string
		switch err := conn.QueryRow(ctx, PoolerQuery, role).Scan(&name, &secret); {
		case want && (err != nil || name != role || len(secret) < 100):
			t.Errorf("%s: %q %d bytes, %v", role, name, len(secret), err)
		case !want && err != pgx.ErrNoRows:
			t.Errorf("%s is given away: %q %v", role, name, err)
		}
	}
	n.exec(t, "ALTER ROLE postgres PASSWORD NULL")
	for _, sql := range []string{"SELECT rolpassword FROM pg_authid", "CREATE TABLE pgherd.t (n int)", "CREATE FUNCTION pgherd.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("a pooler may %s", sql)
		}
	}
	app := n.dialRole(t, "app", "app")
	var name, secret string
	if err := app.QueryRow(ctx, PoolerQuery, "shop").Scan(&name, &secret); err == nil {
		t.Error("an application may look secrets up")
	}
}
