package demo

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// appName is the role, and the database that belongs to it.
const appName = "app"

// Files in the demo's directory.
const (
	passName   = "pgpass"
	caName     = "ca.crt"
	caBytesMax = 64 << 10
)

// dsn gives a libpq connection string for some members. The password stays in a file
// that only the invoking user can read.
func (c *Cluster) dsn(members []layoutMember, session string) string {
	var hosts []string
	for _, m := range members {
		hosts = append(hosts, address+":"+strconv.Itoa(m.Ports.Postgres))
	}
	q := "?target_session_attrs=" + session + "&connect_timeout=2&sslmode=verify-full" +
		"&sslrootcert=" + url.QueryEscape(filepath.Join(c.dir, caName)) +
		"&passfile=" + url.QueryEscape(filepath.Join(c.dir, passName))
	q = strings.ReplaceAll(q, "%2F", "/") // readable, and as valid
	return "postgresql://" + appName + "@" + strings.Join(hosts, ",") + "/" + appName + q
}

func (c *Cluster) newRecord() Record {
	r := Record{WriteDSN: c.dsn(c.layout.Members, "read-write"), ReadDSN: c.dsn(c.layout.Members, "prefer-standby")}
	for _, m := range c.members {
		r.Members = append(r.Members, RecordMember{Name: m.name, Config: m.config, Port: m.ports.Postgres, RWPort: m.ports.RW, ROPort: m.ports.RO})
	}
	return r
}

// WriteDSN finds the primary among all members.
func (c *Cluster) WriteDSN() string { return c.record.WriteDSN }

// ReadDSN prefers a standby.
func (c *Cluster) ReadDSN() string { return c.record.ReadDSN }

// MemberDSN is for one member, whatever its role.
func (c *Cluster) MemberDSN(name string) string {
	for _, m := range c.layout.Members {
		if m.Name == name {
			return c.dsn([]layoutMember{m}, "any")
		}
	}
	return ""
}

// makeApp makes the role and the database, the password file, and the CA's certificate
// for clients. Everything that is there already stays.
func (c *Cluster) makeApp(ctx context.Context) error {
	if err := c.copyCA(); err != nil {
		return err
	}
	pgpass := filepath.Join(c.dir, passName)
	if _, err := os.Stat(pgpass); err == nil {
		return nil // it is written last
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	primary, err := c.member(s.Primary())
	if err != nil {
		return err
	}
	password := rand.Text()
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	if err := c.superuserSQL(ctx, primary, appSQL(verifier)); err != nil {
		return fmt.Errorf("making the role %s on %s: %w", appName, primary.name, err)
	}
	return replaceFile(pgpass, []byte(address+":*:*:"+appName+":"+password+"\n"), 0o600)
}

// copyCA gives the CA's certificate to clients. It lies in a directory of the owner's, who
// is less than root: what is no certificate must not be made readable for everybody.
func (c *Cluster) copyCA() error {
	path := filepath.Join(c.members[0].stateDir(), "pki", caName)
	data, err := readRegular(path, caBytesMax)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return fmt.Errorf("%s holds no certificate", path)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	clean := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
	return replaceFile(filepath.Join(c.dir, caName), clean, 0o644)
}

// appSQL holds no password, only what PostgreSQL itself stores of one: what is sent may
// end in the server's log.
func appSQL(verifier string) string {
	return `SELECT 'CREATE ROLE app LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \gexec
ALTER ROLE app PASSWORD '` + verifier + `';
SELECT 'CREATE DATABASE app OWNER app' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'app') \gexec
`
}

// superuserSQL runs a psql script on one member over its unix socket, where the owner's
// OS user is the superuser. The script goes by stdin.
func (c *Cluster) superuserSQL(ctx context.Context, m *member, script string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.binDir, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1",
		"-h", m.socketDir(), "-p", strconv.Itoa(m.ports.Postgres), "-U", "postgres", "-d", "postgres", "-f", "-")
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = c.owner.attr()
	cmd.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return nil
}

// scramVerifier is what PostgreSQL stores of a password (RFC 5803, SCRAM-SHA-256).
func scramVerifier(password string) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	return scramWith(password, salt, 4096)
}

func scramWith(password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(sign(salted, "Server Key"))), nil
}
