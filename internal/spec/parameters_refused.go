package spec

// CommandParameters run a command, load a library or name a file that is read or
// written. Whoever may set them over the network is the operating system's user
// postgres, so they come only from the member's own file. Name to reason.
var CommandParameters = map[string]string{
	"archive_command":                        runs,
	"archive_cleanup_command":                runs,
	"restore_command":                        runs,
	"recovery_end_command":                   runs,
	"ssl_passphrase_command":                 runs,
	"ssl_passphrase_command_supports_reload": runs,
	"archive_library":                        loads,
	"shared_preload_libraries":               loads,
	"session_preload_libraries":              loads,
	"local_preload_libraries":                loads,
	"jit_provider":                           loads,
	"oauth_validator_libraries":              loads,
	"dynamic_library_path":                   "it says where libraries are loaded from",
	"extension_control_path":                 "it says where extensions are loaded from",
	"extension_destdir":                      "it says where extensions are loaded from",
	"plperl.on_init":                         runs,
	"plperl.on_plperl_init":                  runs,
	"plperl.on_plperlu_init":                 runs,
	"pltcl.start_proc":                       runs,
	"pltclu.start_proc":                      runs,
	"basic_archive.archive_directory":        writes,
	"log_directory":                          writes,
	"log_filename":                           writes,
	"log_file_mode":                          "it may show the log to others",
	"stats_temp_directory":                   writes,
	"krb_server_keyfile":                     reads,
	"ssl_crl_file":                           reads,
	"ssl_crl_dir":                            reads,
	"ssl_dh_params_file":                     reads,
}

const (
	runs   = "it runs a command"
	loads  = "it loads a library"
	writes = "it says where files are written"
	reads  = "it names a file of the machine"
)

// OwnedParameters are pgherd's alone: neither the cluster's spec nor the member's
// file may set them. Name to reason.
var OwnedParameters = map[string]string{
	"listen_addresses":          "use postgres.listen in pgherd.yaml",
	"port":                      "use postgres.port in pgherd.yaml",
	"data_directory":            "use postgres.data_dir in pgherd.yaml",
	"unix_socket_directories":   "use postgres.socket_dir in pgherd.yaml",
	"unix_socket_permissions":   "its own connection goes through the socket",
	"unix_socket_group":         "its own connection goes through the socket",
	"config_file":               "it renders the configuration",
	"hba_file":                  "it renders the access rules, from postgres.hba of the cluster's spec",
	"ident_file":                "it renders the maps of the access rules",
	"external_pid_file":         "its warden knows the process already",
	"cluster_name":              "standbys are known by it",
	"ssl":                       "there is no plain connection",
	"ssl_cert_file":             "it renews the certificate",
	"ssl_key_file":              "it renews the certificate",
	"ssl_ca_file":               "members and clients are verified against the cluster's CA",
	"db_user_namespace":         "the access rules name roles",
	"hot_standby":               "standbys answer reads and status queries",
	"primary_conninfo":          "it changes with the primary",
	"primary_slot_name":         "each member has its slot",
	"synchronous_standby_names": "it follows durability and sync_standbys of the cluster's spec",
	"wal_level":                 "standbys and pg_rewind need it",
	"wal_log_hints":             "pg_rewind needs it",
	"full_page_writes":          "without it a crash can damage data, and pg_rewind needs it",
	"fsync":                     "without it acknowledged commits are lost in a crash",
	"data_sync_retry":           "to go on after a failed fsync loses data silently",
	"restart_after_crash":       "it decides what follows a crash",
	"promote_trigger_file":      "promotion is decided by the lease",
	"recovery_min_apply_delay":  "a delayed standby cannot take over in time",
	"recovery_target":           targets,
	"recovery_target_action":    targets,
	"recovery_target_inclusive": targets,
	"recovery_target_lsn":       targets,
	"recovery_target_name":      targets,
	"recovery_target_time":      targets,
	"recovery_target_timeline":  "standbys follow the newest timeline",
	"recovery_target_xid":       targets,
}

const targets = "a standby replays everything"
