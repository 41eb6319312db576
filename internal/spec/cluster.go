package spec

import "time"

// Durability says what an acknowledged commit survives.
type Durability string

// The two durabilities.
const (
	DurabilitySync  Durability = "sync"  // the loss of any one member (default)
	DurabilityAsync Durability = "async" // only what was already streamed; bounded by MaxLagBytes at failover
)

// Cluster is the cluster's spec, kept in the store and edited with `pgherd config`.
type Cluster struct {
	Lease        Lease      `yaml:"lease" json:"lease"`
	Durability   Durability `yaml:"durability" json:"durability"`
	SyncStandbys int        `yaml:"sync_standbys" json:"sync_standbys"` // k of ANY k; ≥ 1
	Strict       bool       `yaml:"strict" json:"strict"`               // block commits rather than degrade
	MaxLagBytes  int64      `yaml:"max_lag_bytes" json:"max_lag_bytes"` // async: a standby further behind is no candidate
	// CrashRecoveryMax bounds how long a primary may take to come up in place while another could lead. 0, in
	// records of before it was known: the default.
	CrashRecoveryMax Duration        `yaml:"crash_recovery_max" json:"crash_recovery_max,omitempty"`
	Forks            Forks           `yaml:"forks" json:"forks,omitzero"`
	Health           Health          `yaml:"health" json:"health,omitzero"`
	Pooler           Pooler          `yaml:"pooler" json:"pooler,omitzero"`
	VIP              VIP             `yaml:"vip" json:"vip,omitzero"`
	Postgres         ClusterPostgres `yaml:"postgres" json:"postgres"`
}

// Forks says for how long a member keeps what a rewind or a clone replaced. Whoever reads it
// takes Retention: a spec that an older version wrote has none.
type Forks struct {
	Keep     Duration `yaml:"keep" json:"keep"`                           // saved WAL, from 1 h
	MaxBytes int64    `yaml:"max_bytes" json:"max_bytes"`                 // saved WAL of one member, the oldest goes first; the newest always stays
	Aside    int      `yaml:"aside" json:"aside"`                         // data directories that were set aside by clones
	Discard  bool     `yaml:"discard,omitempty" json:"discard,omitempty"` // replace diverged WAL without saving it
}

// Health says when a primary that runs is given up. Whoever reads it takes HealthRules: a spec
// that an older version wrote has none.
type Health struct {
	WriteTimeout Duration `yaml:"write_timeout" json:"write_timeout"` // no commit for so long; from 3s, default 10s
	Failover     bool     `yaml:"failover" json:"failover"`           // default true; false: only tell
}

// Lease holds the timing of leadership. Beat < TTL - Margin, TTL ≥ 3 s.
type Lease struct {
	TTL    Duration `yaml:"ttl" json:"ttl"`       // default 5s
	Renew  Duration `yaml:"renew" json:"renew"`   // default 1s
	Margin Duration `yaml:"margin" json:"margin"` // default 1s
}

// WatchdogMax is the longest timeout of a hardware watchdog that serves this lease: it is to
// have reset the machine half a margin before others may lead (see trust.Watchdog). Three
// quarters of that time leave one for the round trip of the renewal on which it is first
// fed. Devices count in whole seconds; every valid lease bears one at least.
func (l Lease) WatchdogMax() time.Duration {
	return ((l.TTL.D() - l.Margin.D()/2) * 3 / 4).Truncate(time.Second)
}

// ClusterPostgres is what every member's PostgreSQL is told.
type ClusterPostgres struct {
	Parameters map[string]string `yaml:"parameters,omitempty" json:"parameters,omitempty"`
	HBA        []HBARule         `yaml:"hba" json:"hba"`
}

// HBARule lets users in over TLS. Rules of the cluster itself (local peer,
// replication by certificate) are rendered by pgherd and are not listed here.
type HBARule struct {
	Databases []string `yaml:"databases" json:"databases"` // names, or all, sameuser, samerole
	Users     []string `yaml:"users" json:"users"`         // names, +group, or all
	From      string   `yaml:"from" json:"from"`           // CIDR, samehost or samenet
	Auth      string   `yaml:"auth" json:"auth"`           // scram-sha-256 or cert
}

// Duration is a time.Duration that reads and writes "5s" in YAML and JSON.
type Duration time.Duration

// D gives the standard type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// MarshalText writes "5s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
