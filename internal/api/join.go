package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

const (
	probeTimeout = 3 * time.Second
	ordinalTries = 8
)

// JoinPath is where a member joins, by a join token.
const JoinPath = "/v1/join"

// joining is one join on its way through the checks.
type joining struct {
	*Server
	JoinRequest
	prefix   string // of the token's key
	v        core.StoreView
	snapshot store.Snapshot
	token    pki.Token
	record   pki.TokenRecord
}

// postJoin takes a slot only for who has sent everything and named a token that there is:
// half-open connections and guesses must not keep an honest join out.
func (s *Server) postJoin(r *http.Request, _ string) (any, error) {
	j := &joining{Server: s, prefix: records.TokenPrefix}
	if err := body(r, &j.JoinRequest); err != nil {
		return nil, err
	}
	if err := j.recognise(r); err != nil {
		return nil, err
	}
	select {
	case s.joins <- struct{}{}:
		defer func() { <-s.joins }()
	default:
		return nil, busy()
	}
	if err := j.check(r.Context()); err != nil {
		return nil, err
	}
	answer, err := j.admit(r.Context())
	j.tellOf("member", err)
	return answer, err
}

// tellOf writes the join into the audit, and one that spent its token for nothing.
func (j *joining) tellOf(what string, err error) {
	e := journal.Event{Code: journal.EventAudit, Severity: core.Info, Text: fmt.Sprintf("join token %s: %s %s at %s joined", j.token.ID, what, j.Name, j.Address)}
	if err != nil {
		if p := asProblem(err); p.Code != CodeTokenSpent && p.Code != CodeUnknownOutcome {
			return // refused: nothing was changed
		}
		e.Severity, e.Text = core.Warning, fmt.Sprintf("join token %s: the join of %s %s at %s failed: %v", j.token.ID, what, j.Name, j.Address, err)
	}
	j.tell(e)
}

// recognise knows the token, or counts its address among those that guess.
func (j *joining) recognise(r *http.Request) error {
	if j.strangers.tooMany(r) {
		return errTooMany
	}
	err := j.judge(r.Context())
	if err != nil && asProblem(err).Status == http.StatusForbidden { // not when the store could not be asked
		j.strangers.refused(r)
	}
	return err
}

// judge parses the token and reads the records. Malformed tokens, and those of
// another cluster, do not even cost a read; wrong ones cost only that.
func (j *joining) judge(ctx context.Context) (err error) {
	if j.token, err = pki.ParseToken(j.Token); err != nil {
		return tokenProblem(err)
	}
	if j.token.Fingerprint != j.ca.Fingerprint() {
		return tokenProblem(pki.ErrTokenWrong)
	}
	if err = j.lookUp(ctx); err != nil {
		return err
	}
	return j.checkToken(ctx)
}

// lookUp reads the records. Few at once, and the others wait: anybody can ask for it, and
// no caller can make it last.
func (j *joining) lookUp(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case j.lookups <- struct{}{}:
		defer func() { <-j.lookups }()
	case <-ctx.Done():
		return busy()
	}
	j.v, j.snapshot, err = j.read(ctx)
	return err
}

func busy() error {
	return refuse(http.StatusTooManyRequests, "busy", "try again in a moment", "%d joins are under way", joinsMax)
}

// check runs the checks in their order, after recognise: who has no valid token learns
// nothing else.
func (j *joining) check(ctx context.Context) error {
	for _, check := range []func(context.Context) error{j.checkStore, j.checkName, j.checkPorts, j.checkAddress, j.checkVersion} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

func tokenProblem(err error) error {
	const again = "`pgherd token create` on a member makes a new one"
	code := "token_unknown"
	switch {
	case errors.Is(err, pki.ErrTokenFormat):
		code = "token_malformed"
	case errors.Is(err, pki.ErrTokenUsed):
		code = "token_used"
	case errors.Is(err, pki.ErrTokenExpired):
		code = "token_expired"
	}
	return refuse(http.StatusForbidden, code, again, "%s", strings.TrimPrefix(err.Error(), "pki: "))
}

func (j *joining) checkToken(context.Context) error {
	e, ok := j.snapshot.Entries[j.prefix+j.token.ID]
	if ok {
		if err := json.Unmarshal(e.Value, &j.record); err != nil {
			return err
		}
	}
	if err := j.record.Check(j.token, j.b.Now()); err != nil {
		return tokenProblem(err)
	}
	if j.record.Kind == tokenWitness && !j.Witness {
		return refuse(http.StatusForbidden, "token_witness", "join with --witness, or make a token without it", "the token is for a witness")
	}
	return nil
}

func (j *joining) checkStore(context.Context) error {
	if j.Witness && len(j.storeEndpoints()) > 0 {
		return refuse(http.StatusConflict, "witness_useless", "give the external etcd an odd number of members instead", "the cluster keeps its records in an external store, and a witness votes only in the embedded one: there is nothing for it to do")
	}
	return nil
}

func (s *Server) storeEndpoints() []string {
	if s.b.StoreEndpoints == nil {
		return nil
	}
	return s.b.StoreEndpoints()
}

func (j *joining) checkName(context.Context) error {
	if err := spec.CheckName(j.Name); err != nil {
		return refuse(http.StatusUnprocessableEntity, "name_invalid", "", "%v", err)
	}
	if _, err := member(j.v, j.Name); err == nil {
		return refuse(http.StatusConflict, "name_taken", "choose another --name, or `pgherd remove "+j.Name+"` if that member is gone for good", "a member is called %s already", j.Name)
	}
	if _, ok := j.snapshot.Entries[records.PoolerHostPrefix+j.Name]; ok {
		return refuse(http.StatusConflict, "name_taken", "choose another --name, or `pgherd pooler remove "+j.Name+"` if that host is gone for good", "a host that only pools is called %s already", j.Name)
	}
	return j.checkRemoved()
}

func (j *joining) checkPorts(context.Context) error {
	ports := []int{j.APIPort, j.PeerPort, j.StorePort}
	if !j.Witness {
		ports = append(ports, j.PGPort)
	}
	for _, p := range ports {
		if p < 1 || p > 65535 {
			return badRequest("port %d: want 1 to 65535", p)
		}
	}
	return nil
}

func (j *joining) checkAddress(ctx context.Context) error {
	if err := spec.CheckHost(j.Address); err != nil {
		return refuse(http.StatusUnprocessableEntity, "address_invalid", "", "%v", err)
	}
	at := hostport(j.Address, j.APIPort)
	for _, m := range j.v.Members {
		if hostport(m.Address, m.APIPort) == at {
			return refuse(http.StatusConflict, "address_taken", "", "%s is the address of %s", at, m.Name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := peer.Probe(ctx, at, j.Nonce); err != nil {
		return refuse(http.StatusConflict, "address_unreachable", "--address and --api-port must be reachable from the other members; look at firewalls", "%s cannot reach the joining member at %s: %v", j.b.Name, at, err)
	}
	return nil
}

func (j *joining) checkVersion(context.Context) error {
	e, ok := j.snapshot.Entries[KeyPGMajor]
	if !ok || j.Witness {
		return nil
	}
	var major int
	if err := json.Unmarshal(e.Value, &major); err != nil {
		return err
	}
	if major != 0 && major != j.PGMajor {
		return refuse(http.StatusConflict, "pg_version", "install PostgreSQL of that version, or choose it with --bin-dir", "the cluster runs PostgreSQL %d, the joining member has %d", major, j.PGMajor)
	}
	return nil
}

// admit spends the token before anything else: of two joins with one token only one
// gets past this.
func (j *joining) admit(ctx context.Context) (any, error) {
	cert, err := j.ca.SignNode([]byte(j.CSR), j.Name, []string{j.Address}, j.b.Now(), pki.NodeLifetime)
	if err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "csr_invalid", "", "%v", err)
	}
	if err := j.spendToken(ctx); err != nil {
		return nil, err
	}
	m := core.MemberRecord{
		Name: j.Name, Address: j.Address, APIPort: j.APIPort, PeerPort: j.PeerPort, StorePort: j.StorePort,
		PGPort: j.PGPort, Witness: j.Witness, Tags: j.Tags,
	}
	if m.Witness {
		m.PGPort = 0
	}
	if m.Ordinal, err = j.nextOrdinal(ctx); err == nil {
		err = j.put(ctx, records.MemberPrefix+m.Name, m, 0)
	}
	if err != nil {
		return nil, j.spent(err)
	}
	j.b.Log.Info("a member joined", "member", m.Name, "address", m.Address, "ordinal", m.Ordinal)
	return j.answer(m, cert), nil
}

// spent says of what went wrong after the token was spent that it is no refusal, which
// would have changed nothing.
func (j *joining) spent(err error) error {
	p := asProblem(err)
	hint := "make a new token and join again"
	if p.Code == CodeUnknownOutcome { // the record may be there
		hint = "if `pgherd members` shows " + j.Name + ", `pgherd remove " + j.Name + "`; then make a new token and join again"
	}
	return refuse(http.StatusInternalServerError, CodeTokenSpent, hint, "%s did not become a member, and its token is spent: %s", j.Name, p.Detail)
}

func (j *joining) spendToken(ctx context.Context) error {
	key := j.prefix + j.token.ID
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err := records.Put(ctx, j.b.Store, key, j.record.Use(j.Name, j.b.Now()), j.snapshot.Entries[key].Revision)
	if errors.Is(err, store.ErrConflict) {
		return tokenProblem(pki.ErrTokenUsed)
	}
	return writeProblem(err)
}

// nextOrdinal counts up in the store, so that two joins at the same moment get
// different ordinals, and the ordinal of a removed member is not given again.
func (j *joining) nextOrdinal(ctx context.Context) (int, error) {
	for range ordinalTries {
		var highest int
		e, ok := j.snapshot.Entries[keyOrdinal]
		if ok {
			if err := json.Unmarshal(e.Value, &highest); err != nil {
				return 0, err
			}
		}
		for _, m := range j.v.Members {
			highest = max(highest, m.Ordinal)
		}
		_, err := records.Put(ctx, j.b.Store, keyOrdinal, highest+1, e.Revision)
		if err == nil {
			return highest + 1, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return 0, writeProblem(err)
		}
		if j.v, j.snapshot, err = j.read(ctx); err != nil {
			return 0, err
		}
	}
	return 0, writeProblem(store.ErrConflict)
}

func (j *joining) answer(m core.MemberRecord, cert []byte) JoinAnswer {
	a := JoinAnswer{
		ClusterID: j.clusterID, Cluster: j.v.Cluster.Name, Ordinal: m.Ordinal,
		CACert: string(j.ca.CertPEM()), CAKey: string(j.ca.KeyPEM()), NodeCert: string(cert),
		Members: append(j.v.Members, m), Spec: j.v.Spec,
	}
	if e := j.storeEndpoints(); len(e) > 0 {
		a.StoreEndpoints, a.StorePrefix = e, j.b.Config.Store.Prefix
	}
	return a
}
