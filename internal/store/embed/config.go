package embed

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"google.golang.org/grpc"
)

// States of a cluster that a server without data starts in.
const (
	StateNew      = "new"      // Initial are the founders
	StateExisting = "existing" // Initial is the list that AddLearner returned
)

// Config of the embedded server. All fields but Logger are needed.
type Config struct {
	Name string // the member's
	Dir  string // data directory; created with mode 0700

	// PeerListen and ClientListen are "ip:port", what to bind.
	PeerListen, ClientListen string
	// PeerAdvertise and ClientAdvertise are "https://address:port", what the
	// others dial; the certificate must be valid for that address.
	PeerAdvertise, ClientAdvertise string

	// The certificate serves as server and as client, so it needs both uses.
	CertFile, KeyFile, CAFile string

	// AllowedHost must be among the names in the certificates of peers and clients,
	// where the CA also signs certificates that must not write the store. Empty: the
	// CA alone decides.
	AllowedHost string

	// Initial, State and ClusterToken matter only while Dir is empty.
	Initial      map[string]string // member name to peer URL, this member included
	State        string            // StateNew or StateExisting
	ClusterToken string            // the cluster's ID: keeps clusters apart that meet by mistake

	Logger *slog.Logger // etcd's warnings and errors; nil discards them
}

// Raft's clock. A follower stands for election after 5 to 9 ticks of silence,
// so losing the leader costs 1.25 to 2.25 s (usually under 1.8: the first of the
// others counts). Shorter would make a stalled fsync on a busy disk an election,
// and heartbeats are the largest part of what an idle server costs.
const (
	tick     = 250 * time.Millisecond
	election = 1250 * time.Millisecond
)

// A cluster's content is a few dozen records of about a kilobyte, changed once
// a second; etcd's defaults are for a million keys.
const (
	snapshotEvery   = 1000    // raft entries kept in memory, at most this and catchUp
	catchUpEntries  = 500     // 8 minutes away: after longer a member gets the whole (small) database
	quotaBytes      = 128e6   // also the size of bbolt's mapping
	walSegmentBytes = 8 << 20 // preallocated on disk, twice; 64 MB by default
	historyKept     = "5m"    // revisions; nobody reads old ones
	// bbolt is written this often at most. The WAL makes writes durable, so this
	// only moves work to a restart, and spares the disk that PostgreSQL shares.
	backendEvery = 2 * time.Second

	bufferBytes = 8 << 10   // per connection and direction
	windowBytes = 256 << 10 // fixed, as estimating costs a ping for each answer
)

func init() {
	// No field of embed.Config sets it; it must not change while a server runs.
	wal.SegmentSizeBytes = walSegmentBytes
}

func (c Config) check() error {
	missing := []string{}
	for name, value := range map[string]string{
		"Name": c.Name, "Dir": c.Dir, "PeerListen": c.PeerListen, "ClientListen": c.ClientListen,
		"PeerAdvertise": c.PeerAdvertise, "ClientAdvertise": c.ClientAdvertise,
		"CertFile": c.CertFile, "KeyFile": c.KeyFile, "CAFile": c.CAFile, "ClusterToken": c.ClusterToken,
	} {
		if value == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("embedded etcd: no %s given", strings.Join(missing, ", "))
	}
	if c.State != StateNew && c.State != StateExisting {
		return fmt.Errorf("embedded etcd: state %q, want %q or %q", c.State, StateNew, StateExisting)
	}
	if !c.HasData() && c.Initial[c.Name] != c.PeerAdvertise {
		return fmt.Errorf("embedded etcd: member %s is %q in the initial list, but advertises %q",
			c.Name, c.Initial[c.Name], c.PeerAdvertise)
	}
	return nil
}

// HasData says whether Dir holds a member already; Start then continues it.
func (c Config) HasData() bool {
	found, _ := filepath.Glob(filepath.Join(c.Dir, "member", "wal", "*.wal"))
	return len(found) > 0
}

// etcd translates to the server's own configuration.
func (c Config) etcd() (*embed.Config, error) {
	cfg := embed.NewConfig()
	urls, err := parseURLs("https://"+c.PeerListen, c.PeerAdvertise, "https://"+c.ClientListen, c.ClientAdvertise)
	if err != nil {
		return nil, err
	}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls[0:1], urls[1:2]
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls[2:3], urls[3:4]
	cfg.Name, cfg.Dir = c.Name, c.Dir
	cfg.ClusterState, cfg.InitialClusterToken = c.State, c.ClusterToken
	cfg.InitialCluster = initialCluster(c.Initial)

	files := transport.TLSInfo{
		CertFile: c.CertFile, KeyFile: c.KeyFile, TrustedCAFile: c.CAFile, ClientCertAuth: true,
		// Matching the source address as well would only break hosts with several.
		SkipClientSANVerify: true,
	}
	if c.AllowedHost != "" {
		files.AllowedHostnames = []string{c.AllowedHost}
	}
	cfg.PeerTLSInfo, cfg.ClientTLSInfo = files, files
	cfg.TlsMinVersion = "TLS1.3"
	tune(cfg)
	return cfg, nil
}

func tune(cfg *embed.Config) {
	cfg.EnableGRPCGateway = false
	cfg.EnablePprof = false
	cfg.TickMs, cfg.ElectionMs = uint(tick.Milliseconds()), uint(election.Milliseconds())
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = snapshotEvery, catchUpEntries
	cfg.MaxWalFiles, cfg.MaxSnapFiles = 2, 2
	cfg.QuotaBackendBytes = quotaBytes
	cfg.BackendBatchInterval = backendEvery
	cfg.BackendFreelistType = "array"
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, historyKept
	cfg.CorruptCheckTime, cfg.CompactHashCheckTime = 0, time.Hour // off; the second refuses 0, and needs a feature gate that is off
	cfg.DowngradeCheckTime = 0
	cfg.GRPCAdditionalServerOptions = []grpc.ServerOption{
		grpc.ReadBufferSize(bufferBytes),
		grpc.WriteBufferSize(bufferBytes),
		grpc.SharedWriteBuffer(true),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(windowBytes),
	}
}

func initialCluster(members map[string]string) string {
	pairs := make([]string, 0, len(members))
	for name, peerURL := range members {
		pairs = append(pairs, name+"="+peerURL)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func parseURLs(raw ...string) ([]url.URL, error) {
	urls := make([]url.URL, len(raw))
	for i, r := range raw {
		u, err := url.Parse(r)
		if err != nil || u.Port() == "" {
			return nil, errors.Join(fmt.Errorf("embedded etcd: address %q, want one like https://10.0.0.1:2380", r), err)
		}
		if u.Scheme != "https" {
			return nil, fmt.Errorf("embedded etcd: address %q, want https", r)
		}
		urls[i] = *u
	}
	return urls, nil
}
