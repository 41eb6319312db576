package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Source says how to reach another member's PostgreSQL: always TLS, always
// verified, always with this node's certificate and never with a password.
type Source struct {
	Host string // name or IP; must be in the server's certificate, unless TLSName is set
	Port int
	// TLSName, when set, is the name to find in the server's certificate instead of
	// Host, which must then be an IP address. PostgreSQL 14's libpq does not
	// compare IP addresses with a certificate's IP entries; a name always works.
	TLSName  string
	CertFile string
	KeyFile  string // 0600, owned by our user
	CAFile   string
	AppName  string // application_name: the own member's name
}

// connInfo is the libpq connection string for one role. dbname may be empty.
func (s Source) connInfo(user, dbname string) string {
	pairs := [][2]string{{"host", s.Host}}
	if s.TLSName != "" && net.ParseIP(s.Host) != nil {
		pairs = [][2]string{{"host", s.TLSName}, {"hostaddr", s.Host}}
	}
	pairs = append(pairs, s.commonPairs(user)...)
	if dbname != "" {
		pairs = append(pairs, [2]string{"dbname", dbname})
	}
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p[0] + "=" + quoteConnInfo(p[1]))
	}
	return b.String()
}

func (s Source) commonPairs(user string) [][2]string {
	return [][2]string{
		{"port", strconv.Itoa(s.Port)},
		{"user", user},
		{"application_name", s.AppName},
		{"sslmode", "verify-full"},
		{"sslrootcert", s.CAFile},
		{"sslcert", s.CertFile},
		{"sslkey", s.KeyFile},
		{"connect_timeout", "5"},
		// A peer that vanished without a word is noticed in 5 + 3 × 2 s, not in hours.
		{"keepalives_idle", "5"},
		{"keepalives_interval", "2"},
		{"keepalives_count", "3"},
		{"tcp_user_timeout", "10000"},
		{"gssencmode", "disable"}, // or Kerberos would be tried before TLS
	}
}

// PrimaryConnInfo is the value of primary_conninfo for streaming from s.
func (s Source) PrimaryConnInfo() string { return s.connInfo(RoleReplicator, "") }

// connect opens a plain SQL session on the source as the rewind role.
func (s Source) connect(ctx context.Context) (*pgx.Conn, error) { return s.connectAs(ctx, RoleRewind) }

// connectAs opens one as a role that node certificates may be, in the database postgres.
func (s Source) connectAs(ctx context.Context, role string) (*pgx.Conn, error) {
	text := fmt.Sprintf("host=%s port=%d user=%s dbname=postgres sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s connect_timeout=5 passfile=/dev/null",
		quoteConnInfo(s.Host), s.Port, role, quoteConnInfo(s.CAFile), quoteConnInfo(s.CertFile), quoteConnInfo(s.KeyFile))
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("source %s:%d: %w", s.Host, s.Port, err)
	}
	cfg.RuntimeParams = map[string]string{
		"application_name": s.AppName, "search_path": "pg_catalog",
		"statement_timeout": "0", "idle_session_timeout": "0",
	}
	if s.TLSName != "" && cfg.TLSConfig != nil {
		cfg.TLSConfig = cfg.TLSConfig.Clone()
		cfg.TLSConfig.ServerName = s.TLSName
	}
	if cfg.TLSConfig == nil || cfg.TLSConfig.InsecureSkipVerify {
		return nil, fmt.Errorf("source %s:%d: the connection would not be verified", s.Host, s.Port)
	}
	cfg.TLSConfig.MinVersion = tls.VersionTLS12
	cfg.Fallbacks = nil
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("source %s:%d: %w", s.Host, s.Port, err)
	}
	return conn, nil
}
