package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// PoolerJoinPath is where a host joins that only pools, by a token for that.
const PoolerJoinPath = "/v1/poolers/join"

// PoolerJoinRequest is the body of POST /v1/poolers/join.
type PoolerJoinRequest struct {
	Token   string `json:"token"`
	Name    string `json:"name"`
	Address string `json:"address"` // by which clients reach it
	CSR     string `json:"csr"`     // PEM
}

// PoolerJoinAnswer is everything that a host which only pools gets: never the CA's key.
type PoolerJoinAnswer struct {
	ClusterID string              `json:"cluster_id"`
	Cluster   string              `json:"cluster"`
	CACert    string              `json:"ca_cert"`
	Cert      string              `json:"cert"`
	Members   []core.MemberRecord `json:"members"` // whose APIs it may ask
}

func (s *Server) postPoolerJoin(r *http.Request, _ string) (any, error) {
	var request PoolerJoinRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	j := &joining{Server: s, prefix: records.PoolerTokenPrefix, JoinRequest: JoinRequest{Token: request.Token, Name: request.Name, Address: request.Address, CSR: request.CSR}}
	if err := j.recognise(r); err != nil {
		return nil, err
	}
	for _, check := range []func(context.Context) error{j.checkName, j.checkPoolerAddress} {
		if err := check(r.Context()); err != nil {
			return nil, err
		}
	}
	answer, err := j.admitPooler(r.Context())
	j.tellOf("pooler host", err)
	return answer, err
}

// checkPoolerAddress: the address is in the certificate, so a name by which members are known would let the host pass
// as their PostgreSQL. An IP address may be shared: it is a machine's.
func (j *joining) checkPoolerAddress(context.Context) error {
	if net.ParseIP(j.Address) != nil {
		return nil
	}
	host := strings.TrimSuffix(j.Address, ".")
	for _, m := range j.v.Members {
		if strings.EqualFold(host, m.Name) || strings.EqualFold(host, strings.TrimSuffix(m.Address, ".")) {
			return refuse(http.StatusConflict, "address_taken", "", "%s is a name of member %s", j.Address, m.Name)
		}
	}
	if err := spec.CheckHost(j.Address); err != nil {
		return refuse(http.StatusUnprocessableEntity, "address_invalid", "", "%v", err)
	}
	return nil
}

// admitPooler spends the token first, as admit does.
func (j *joining) admitPooler(ctx context.Context) (any, error) {
	now := j.b.Now()
	cert, err := j.ca.SignPooler([]byte(j.CSR), j.Name, []string{j.Address}, now, pki.NodeLifetime)
	if err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "csr_invalid", "", "%v", err)
	}
	if err := j.spendToken(ctx); err != nil {
		return nil, err
	}
	if err := j.register(ctx, now); err != nil {
		return nil, j.spent(err)
	}
	j.b.Log.Info("a host that only pools joined", "pooler", j.Name, "address", j.Address)
	return PoolerJoinAnswer{ClusterID: j.clusterID, Cluster: j.v.Cluster.Name, CACert: string(j.ca.CertPEM()), Cert: string(cert), Members: j.v.Members}, nil
}

// PoolerRenewRequest is the body of POST PoolerRenewPath.
type PoolerRenewRequest struct {
	CSR string `json:"csr"` // PEM
}

// PoolerRenewed answers it.
type PoolerRenewed struct {
	Cert string `json:"cert"`
}

// postPoolerRenew signs for a new key of a host that is registered: its name and address are what its join said.
func (s *Server) postPoolerRenew(r *http.Request, name string, _ core.StoreView, snapshot store.Snapshot) (any, error) {
	var request PoolerRenewRequest
	if err := body(r, &request); err != nil {
		return nil, err
	}
	var host PoolerHost
	if err := json.Unmarshal(snapshot.Entries[records.PoolerHostPrefix+name].Value, &host); err != nil {
		return nil, err
	}
	cert, err := s.ca.SignPooler([]byte(request.CSR), name, []string{host.Address}, s.b.Now(), pki.NodeLifetime)
	if err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "csr_invalid", "", "%v", err)
	}
	return PoolerRenewed{string(cert)}, nil
}
