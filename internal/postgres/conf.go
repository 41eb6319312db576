package postgres

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Conf is everything that goes into pgherd.conf.
type Conf struct {
	Instance    Instance
	ClusterName string // cluster_name; shown in process titles
	Listen      string // listen_addresses, comma separated
	CertFile    string // the node's certificate
	KeyFile     string // its key: 0600
	CAFile      string // the cluster's CA

	// Source is whom to stream from; nil renders primary_conninfo = '', which stops
	// the WAL receiver at the next Reload.
	Source      *Source
	PrimarySlot string // primary_slot_name

	SynchronousStandbyNames string
	HotStandbyFeedback      bool

	// Parameters are the user's. Names that pgherd owns are left out (CheckParameters names them).
	Parameters map[string]string
}

const ownedHeader = "# This file belongs to pgherd: it is written whole, and changes by hand are lost.\n"

// confDefaults are pgherd's choices that the user's parameters may replace.
var confDefaults = map[string]string{
	"max_connections":           "200",
	"max_wal_senders":           "20",
	"max_replication_slots":     "20",
	"max_worker_processes":      "8",
	"max_prepared_transactions": "0",
	"max_locks_per_transaction": "64",
	"track_commit_timestamp":    "off",
	"wal_level":                 "replica", // the user may say logical
	"password_encryption":       "scram-sha-256",
	// A silent peer is noticed in 5 s rather than 60, and a lost stream is tried again at once: while a
	// stream that is dead counts as one, every commit waits and nobody says why.
	"wal_receiver_timeout":             "5s",
	"wal_sender_timeout":               "5s",
	"wal_retrieve_retry_interval":      "100ms",
	"wal_receiver_status_interval":     "1s",
	"wal_keep_size":                    "128MB",
	"synchronous_commit":               "on", // remote_write would lose acknowledged WAL with a standby's crash
	"tcp_keepalives_idle":              "10",
	"tcp_keepalives_interval":          "5",
	"tcp_keepalives_count":             "3",
	"client_connection_check_interval": "2s",
	"ssl_min_protocol_version":         "TLSv1.2",
}

// RenderConf writes pgherd.conf whole: sorted and quoted. Parameters that pgherd
// owns and names that are no parameter names are left out; CheckParameters says
// which, before it comes to that.
func RenderConf(c Conf) []byte {
	values := maps.Clone(confDefaults)
	for name, value := range c.Parameters {
		if name = strings.ToLower(name); checkParameter(name, value) == nil {
			values[name] = value
		}
	}
	maps.Copy(values, c.owned())
	var b bytes.Buffer
	b.WriteString(ownedHeader + "# Cluster parameters: pgherd config edit. A member's own: postgres.parameters in its pgherd.yaml.\n\n")
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s = %s\n", name, quoteGUC(values[name]))
	}
	return b.Bytes()
}

// owned gives the parameters nobody else may set.
func (c Conf) owned() map[string]string {
	values := map[string]string{
		"listen_addresses":          c.Listen,
		"port":                      strconv.Itoa(c.Instance.Port),
		"unix_socket_directories":   quoteListItem(c.Instance.SocketDir),
		"cluster_name":              c.ClusterName,
		"hba_file":                  c.Instance.path(HBAFile),
		"ident_file":                c.Instance.path(IdentFile),
		"ssl":                       "on",
		"ssl_cert_file":             c.CertFile,
		"ssl_key_file":              c.KeyFile,
		"ssl_ca_file":               c.CAFile,
		"hot_standby":               "on",
		"hot_standby_feedback":      onOff(c.HotStandbyFeedback),
		"wal_log_hints":             "on", // pg_rewind needs it
		"full_page_writes":          "on", // and this
		"restart_after_crash":       "on",
		"recovery_target_timeline":  "latest",
		"synchronous_standby_names": c.SynchronousStandbyNames,
		"primary_conninfo":          "",
		"primary_slot_name":         c.PrimarySlot,
	}
	if c.Source != nil {
		values["primary_conninfo"] = c.Source.PrimaryConnInfo()
	}
	return values
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// refusedParameters are no values of Conf, but would break what pgherd promises.
var refusedParameters = map[string]string{
	"config_file":                   "pgherd starts PostgreSQL with its data directory's own",
	"data_directory":                "it is postgres.data_dir of pgherd.yaml",
	"external_pid_file":             "the warden knows the process",
	"fsync":                         "an acknowledged commit would not survive a power cut",
	"recovery_target":               "a standby follows its primary to the end",
	"recovery_target_name":          "a standby follows its primary to the end",
	"recovery_target_time":          "a standby follows its primary to the end",
	"recovery_target_xid":           "a standby follows its primary to the end",
	"recovery_target_lsn":           "a standby follows its primary to the end",
	"recovery_target_inclusive":     "a standby follows its primary to the end",
	"recovery_target_action":        "a standby follows its primary to the end",
	"promote_trigger_file":          "promotion happens under the lease only",
	"default_transaction_read_only": "the primary would refuse writes",
	"ssl_passphrase_command":        "the node's key has no passphrase",
	"unix_socket_group":             "the socket is the administrator's",
	"unix_socket_permissions":       "the socket is the administrator's",
	"allow_in_place_tablespaces":    "it is for PostgreSQL's own tests",
	"zero_damaged_pages":            "it destroys data",
	"ignore_checksum_failure":       "it hides damage",
	"ignore_system_indexes":         "it is for a session of repair",
	"ignore_invalid_pages":          "it hides damage",
	"trace_recovery_messages":       "it is for PostgreSQL's developers",
	"data_sync_retry":               "a failed fsync would be believed",
	"remove_temp_files_after_crash": "it is for PostgreSQL's developers",
	"send_abort_for_crash":          "it is for PostgreSQL's developers",
	"send_abort_for_kill":           "it is for PostgreSQL's developers",
}

// CheckParameters says why each parameter that cannot be the user's is refused;
// nil when all can. Whether PostgreSQL knows them is TestConfig's question.
func CheckParameters(parameters map[string]string) map[string]error {
	var refused map[string]error
	for name, value := range parameters {
		if err := checkParameter(strings.ToLower(name), value); err != nil {
			if refused == nil {
				refused = map[string]error{}
			}
			refused[name] = err
		}
	}
	return refused
}

func checkParameter(name, value string) error {
	if !validParameterName(name) {
		return fmt.Errorf("%q is not a parameter's name", name)
	}
	if reason, ok := refusedParameters[name]; ok {
		return fmt.Errorf("%s cannot be set: %s", name, reason)
	}
	if _, ok := (Conf{}).owned()[name]; ok {
		return fmt.Errorf("%s is set by pgherd", name)
	}
	if strings.ContainsRune(value, 0) {
		return fmt.Errorf("%s has a zero byte in its value", name)
	}
	if name == "wal_level" && value != "replica" && value != "logical" {
		return fmt.Errorf("wal_level must be replica or logical, not %q", value)
	}
	if name == "password_encryption" && value != "scram-sha-256" {
		return fmt.Errorf("password_encryption must be scram-sha-256, not %q", value) // nothing else lets anybody in
	}
	return nil
}

// validParameterName accepts "work_mem" and "extension.setting". The file's own
// directives (include and its like) are no parameters.
func validParameterName(name string) bool {
	if strings.HasPrefix(name, "include") {
		return false
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || part[0] >= '0' && part[0] <= '9' {
			return false
		}
		for _, r := range part {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
				return false
			}
		}
	}
	return len(name) < 128
}

// WriteConf writes pgherd.conf, pgherd_hba.conf and pgherd_ident.conf, each
// atomically and only if it changed. What changed needs Reload or a restart.
func WriteConf(in Instance, conf, hba, ident []byte) (changed bool, err error) {
	files := []struct {
		name string
		data []byte
	}{{HBAFile, hba}, {IdentFile, ident}, {ConfFile, conf}} // conf last: it names the other two
	for _, f := range files {
		c, err := writeFile(in.path(f.name), f.data)
		if err != nil {
			return changed, fmt.Errorf("configuration: %w", err)
		}
		changed = changed || c
	}
	return changed, nil
}

func validAddress(from string) bool {
	if from == "samehost" || from == "samenet" {
		return true
	}
	_, err := netip.ParsePrefix(from)
	return err == nil
}
