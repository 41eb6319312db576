package postgres

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pgherd/pgherd/internal/spec"
)

// HBAInput is everything that decides who gets in.
type HBAInput struct {
	Superuser string   // default "postgres"
	OSUser    string   // the OS user that is the superuser over the unix socket
	Members   []string // names in the node certificates (CN) of those with data: they may replicate and rewind
	Poolers   []string // members, witnesses and hosts that only pool: they may look roles up for clients
	// ReplicationAddresses are CIDRs from which members connect; empty means any
	// (the certificate decides).
	ReplicationAddresses []string
	Rules                []spec.HBARule // the user's, in their order
	Hold                 bool           // leave them out: nobody gets in but the administrator and the members
}

// holdMark is the line by which rules that keep clients out are known again.
const holdMark = "# Clients are held: their rules are left out until standbys have everything.\n"

// HBAHeld tells whether the rendered access rules keep clients out. None rendered keep nobody out.
func HBAHeld(in Instance) bool {
	data, err := os.ReadFile(in.path(HBAFile))
	return err == nil && bytes.Contains(data, []byte(holdMark))
}

const (
	mapAdmin   = "pgherd"
	mapMembers = "pgherd_members"
	mapPoolers = "pgherd_poolers"

	// nodeOrganization is in every node certificate of the cluster's CA and in no
	// application's: with the CN alone, a role named like a member could replicate.
	nodeOrganization = "pgherd node"

	// poolerOrganization is in those of hosts that only pool: theirs must not replicate, either.
	poolerOrganization = "pgherd pooler"
)

var memberName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// CheckHBA tells what is wrong with a user's rule, by its index; nil when all are right.
func CheckHBA(superuser string, rules []spec.HBARule) error {
	for i, r := range rules {
		if err := checkRule(superuser, r); err != nil {
			return fmt.Errorf("hba rule %d: %w", i+1, err)
		}
	}
	return nil
}

func checkRule(superuser string, r spec.HBARule) error {
	if len(r.Databases) == 0 || len(r.Users) == 0 {
		return fmt.Errorf("needs databases and users")
	}
	if r.Auth != "scram-sha-256" && r.Auth != "cert" {
		return fmt.Errorf("auth is %q; it must be scram-sha-256 or cert", r.Auth)
	}
	if !validAddress(r.From) {
		return fmt.Errorf("from is %q; it must be a CIDR such as 10.0.0.0/8, samehost or samenet", r.From)
	}
	for _, name := range slices.Concat(r.Databases, r.Users) {
		// A leading slash makes a regular expression of it from 16 on, quoted or not.
		if name == "" || len(name) > 64 || name[0] == '/' || strings.ContainsAny(name, "\x00\n\r") {
			return fmt.Errorf("%q is not a name", name)
		}
	}
	for _, user := range r.Users {
		if reserved(superuser, strings.TrimPrefix(user, "+")) {
			return fmt.Errorf("role %s is reserved: it is let in by pgherd's own rules only", user)
		}
	}
	return nil
}

func reserved(superuser, role string) bool {
	return role == superuser || role == "postgres" || strings.HasPrefix(role, rolePrefix)
}

// RenderHBA writes pgherd_hba.conf and pgherd_ident.conf. In order: the
// administrator over the unix socket; members and poolers by certificate; the reserved
// roles refused; the user's rules, TLS only; everything else refused. The first line
// that fits a connection decides, so the order is the protection. No rule trusts.
func RenderHBA(h HBAInput) (hba, ident []byte, err error) {
	if h.Superuser == "" {
		h.Superuser = "postgres"
	}
	if err := h.check(); err != nil {
		return nil, nil, err
	}
	return h.renderHBA(), h.renderIdent(), nil
}

func (h HBAInput) check() error {
	if h.OSUser == "" || strings.ContainsAny(h.OSUser+h.Superuser, "\x00\n\r") || strings.HasPrefix(h.OSUser, "/") {
		return fmt.Errorf("hba: OS user %q is not a name", h.OSUser)
	}
	for _, m := range slices.Concat(h.Members, h.Poolers) {
		if !memberName.MatchString(m) {
			return fmt.Errorf("hba: %q is not a member's name", m)
		}
	}
	for _, a := range h.ReplicationAddresses {
		if !validAddress(a) {
			return fmt.Errorf("hba: %q is not a CIDR", a)
		}
	}
	return CheckHBA(h.Superuser, h.Rules)
}

func (h HBAInput) renderHBA() []byte {
	var b bytes.Buffer
	line := func(fields ...string) { b.WriteString(strings.Join(fields, "  ") + "\n") }
	b.WriteString(ownedHeader + "# The first line that fits a connection decides.\n\n")
	b.WriteString("# The administrator, by OS user over the unix socket.\n")
	line("local", "all", hbaName(h.Superuser), "peer", "map="+mapAdmin)
	b.WriteString("\n# Members, by node certificate.\n")
	from := h.ReplicationAddresses
	if len(from) == 0 {
		from = []string{"all"}
	}
	for _, address := range from {
		line("hostssl", "replication", hbaName(RoleReplicator), address, "cert", "clientname=DN", "map="+mapMembers)
		line("hostssl", hbaName("postgres"), hbaName(RoleRewind), address, "cert", "clientname=DN", "map="+mapMembers)
	}
	if len(h.Poolers) > 0 && !h.Hold { // who asks for clients is kept out with them: it takes its answer for the server's
		b.WriteString("\n# Poolers, by node certificate: they look up who their clients are.\n")
		line("hostssl", hbaName(PoolerDatabase), hbaName(RolePooler), "all", "cert", "clientname=DN", "map="+mapPoolers)
	}
	b.WriteString("\n# Nobody else is one of these, and the superuser never comes over the network.\n")
	roles := []string{hbaName("postgres"), hbaName(RoleReplicator), hbaName(RoleRewind), hbaName(RolePooler)}
	if h.Superuser != "postgres" {
		roles = append(roles, hbaName(h.Superuser))
	}
	line("host", "all,replication", strings.Join(roles, ","), "all", "reject")
	b.WriteString("\n# The cluster's rules, TLS only.\n")
	rules := h.Rules
	if h.Hold {
		b.WriteString(holdMark)
		rules = nil
	}
	for _, r := range rules {
		line("hostssl", hbaList(r.Databases, "all", "sameuser", "samerole"), hbaList(r.Users, "all"), r.From, r.Auth)
	}
	b.WriteString("\n# Everything else.\n")
	line("local", "all,replication", "all", "reject")
	line("host", "all,replication", "all", "all", "reject")
	return b.Bytes()
}

func (h HBAInput) renderIdent() []byte {
	var b bytes.Buffer
	b.WriteString(ownedHeader + "# map  who (OS user, or name in the certificate)  role\n\n")
	fmt.Fprintf(&b, "%s  %s  %s\n", mapAdmin, hbaName(h.OSUser), hbaName(h.Superuser))
	for _, m := range slices.Sorted(slices.Values(h.Members)) {
		for _, role := range []string{RoleReplicator, RoleRewind} {
			fmt.Fprintf(&b, "%s  %s  %s\n", mapMembers, hbaName("CN="+m+",O="+nodeOrganization), hbaName(role))
		}
	}
	for _, p := range slices.Sorted(slices.Values(h.Poolers)) {
		for _, organization := range h.organizations(p) {
			fmt.Fprintf(&b, "%s  %s  %s\n", mapPoolers, hbaName("CN="+p+",O="+organization), hbaName(RolePooler))
		}
	}
	return b.Bytes()
}

// organizations are those that a pooler's certificate may have. Who is not among the members may be a host that
// only pools, or a witness: it has a member's certificate, but replicates nothing.
func (h HBAInput) organizations(pooler string) []string {
	if slices.Contains(h.Members, pooler) {
		return []string{nodeOrganization}
	}
	return []string{nodeOrganization, poolerOrganization}
}

// hbaName quotes a name so that no keyword, comma, # or @ in it has a meaning.
func hbaName(name string) string { return quoteIdent(name) }

// hbaList renders names, leaving keywords bare: quoted they would lose their meaning.
// "+group" keeps its plus outside the quotes.
func hbaList(names []string, keywords ...string) string {
	out := make([]string, len(names))
	for i, name := range names {
		group, isGroup := strings.CutPrefix(name, "+")
		switch {
		case slices.Contains(keywords, name):
			out[i] = name
		case isGroup && len(keywords) == 1: // users only; a database's name may begin with +
			out[i] = "+" + quoteIdent(group)
		default:
			out[i] = hbaName(name)
		}
	}
	return strings.Join(out, ",")
}
