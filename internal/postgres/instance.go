package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Names that pgherd keeps for itself inside PostgreSQL.
const (
	RoleReplicator = "pgherd_replicator" // standbys and pg_basebackup, by node certificate
	RoleRewind     = "pgherd_rewind"     // pg_rewind and the clone lock, by node certificate
	RolePooler     = "pgherd_pooler"     // who looks roles up for clients of a pooler, and whether this is the primary; by certificate
	rolePrefix     = "pgherd_"
)

// Files that pgherd keeps in the data directory.
const (
	ConfFile  = "pgherd.conf"
	HBAFile   = "pgherd_hba.conf"
	IdentFile = "pgherd_ident.conf"
	MarkFile  = "pgherd.mark"
)

// PoolerQuery gives a pooler the name and the secret of the role $1, in database PoolerDatabase;
// no row for who may not come that way.
const (
	PoolerQuery    = "SELECT rolname, rolpassword FROM pgherd.lookup($1)"
	PoolerDatabase = "postgres"
)

// Instance says where one PostgreSQL lives. Paths are absolute.
type Instance struct {
	BinDir    string
	DataDir   string
	WalDir    string // empty: pg_wal is a plain directory inside DataDir
	SocketDir string
	Port      int
	Superuser string // empty means "postgres"
}

func (in Instance) superuser() string {
	if in.Superuser == "" {
		return "postgres"
	}
	return in.Superuser
}

func (in Instance) bin(program string) string { return filepath.Join(in.BinDir, program) }

func (in Instance) path(name string) string { return filepath.Join(in.DataDir, name) }

// StartArgs gives the postmaster's program, its arguments (without argv[0]) and its
// whole environment. Where the server listens and whom it lets in stand on the
// command line as well as in pgherd.conf, because the command line outranks
// ALTER SYSTEM: a stray postgresql.auto.conf must not lock pgherd out or open a door.
func StartArgs(in Instance) (path string, args, env []string) {
	args = []string{"-D", in.DataDir}
	for _, s := range in.pinned() {
		args = append(args, "-c", s[0]+"="+s[1])
	}
	// A postmaster may be shielded from the OOM killer; its backends must not inherit that.
	env = append(programEnv(), "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj", "PG_OOM_ADJUST_VALUE=0")
	return in.bin("postgres"), args, env
}

// pinned lists the settings that StartArgs repeats on the command line.
func (in Instance) pinned() [][2]string {
	return [][2]string{
		{"port", strconv.Itoa(in.Port)},
		{"unix_socket_directories", quoteListItem(in.SocketDir)},
		{"hba_file", in.path(HBAFile)},
		{"ident_file", in.path(IdentFile)},
		// What every promise rests on, whatever postgresql.conf or ALTER SYSTEM say.
		{"fsync", "on"},
		{"full_page_writes", "on"},
		{"data_sync_retry", "off"},
		{"recovery_min_apply_delay", "0"},
	}
}

// programEnv is the environment of every PostgreSQL program: ours without PG*
// (a PGOPTIONS or PGSERVICE of the operator's shell must not steer the cluster)
// and with untranslated messages, because some of them are parsed.
func programEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || name == "LANG" || name == "LANGUAGE" {
			continue
		}
		env = append(env, kv)
	}
	return append(env, "LC_ALL=C")
}
