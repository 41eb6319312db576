package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/agent"
	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
)

const (
	joinTimeout   = 30 * time.Second
	tokenBytesMax = 4096
)

type joinFlags struct{ token, tokenFile string }

func (f *joinFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.token, "token", "", "the join token; others on this machine can read a command line, so better:")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file that holds the token; - for stdin")
}

func (a *app) joinCommand() *cobra.Command {
	s, f := &setup{}, &joinFlags{}
	cmd := &cobra.Command{
		Use:     "join HOST:PORT",
		Short:   "make this machine a member of an existing cluster",
		Long:    "HOST:PORT is the API of any running member. The token comes from `pgherd token create` on a member.",
		Example: "  pgherd join 10.0.0.1:7432 --token-file /root/token --name n2 --address 10.0.0.2",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.join(cmd.Context(), s, f, args[0])
		},
	}
	s.flags(cmd)
	f.flags(cmd)
	return cmd
}

func (a *app) join(ctx context.Context, s *setup, f *joinFlags, to string) error {
	syscall.Umask(openUmask)
	token, text, err := a.tokenFor(f, to)
	if err != nil {
		return err
	}
	s.joining = true
	if err := s.complete(); err != nil {
		return err
	}
	if _, _, err := s.owner(); err != nil {
		return err
	}
	if err := s.check(a.config, a.stderr); err != nil {
		return err
	}
	return a.joinWith(ctx, s, token, text, to)
}

// tokenFor is the token with which to join at the API of a member, HOST:PORT, and its text.
func (a *app) tokenFor(f *joinFlags, to string) (token pki.Token, text string, err error) {
	if _, port, err := net.SplitHostPort(to); err != nil || port == "" {
		return token, "", usage("such as 10.0.0.1:7432", "%q: want HOST:PORT of a member's API", to)
	}
	if text, err = a.readToken(f); err != nil {
		return token, "", err
	}
	if token, err = pki.ParseToken(text); err != nil {
		return token, "", usage("", "%s", strings.TrimPrefix(err.Error(), "pki: "))
	}
	return token, text, nil
}

// readToken takes the token from one of its two places.
func (a *app) readToken(f *joinFlags) (string, error) {
	switch {
	case f.token != "" && f.tokenFile != "":
		return "", usage("", "either --token or --token-file")
	case f.token != "":
		return f.token, nil
	case f.tokenFile == "":
		return "", usage("`pgherd token create` on a member prints one; give it with --token-file FILE", "the join token is missing")
	case f.tokenFile == "-":
		data, err := io.ReadAll(io.LimitReader(a.stdin, tokenBytesMax))
		return string(data), err
	}
	file, err := os.Open(f.tokenFile)
	if err != nil {
		return "", usage("", "--token-file: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, tokenBytesMax))
	return string(data), err
}

func (a *app) joinWith(ctx context.Context, s *setup, token pki.Token, text, to string) error {
	key, csr, err := pki.NewKeyAndCSR(s.m.Name, []string{s.m.Address})
	if err != nil {
		return err
	}
	answer, err := askToJoin(ctx, s, token, api.JoinRequest{Token: text, CSR: string(csr)}, to)
	if err != nil {
		return err
	}
	id := agent.Identity{
		ClusterID: answer.ClusterID, Cluster: answer.Cluster, Member: s.m.Name, Ordinal: answer.Ordinal,
		Seeds: answer.Members, Created: a.now().UTC().Format(time.RFC3339),
	}
	if err := a.writeJoined(s, answer, id, key); err != nil { // the cluster has the member already
		return failed("`pgherd remove "+s.m.Name+"` on a member, then join again with a new token", "the cluster took %s in, but here it cannot be set up: %w", s.m.Name, err)
	}
	return a.setupDone(s, id, fmt.Sprintf("%s is a member of cluster %s now", s.m.Name, answer.Cluster), "")
}

func (a *app) writeJoined(s *setup, answer api.JoinAnswer, id agent.Identity, key []byte) error {
	ca, err := pki.ParseCA([]byte(answer.CACert), []byte(answer.CAKey))
	if err != nil {
		return err
	}
	if len(answer.StoreEndpoints) > 0 && len(s.m.Store.Endpoints) == 0 {
		s.m.Store.Endpoints, s.m.Store.Prefix = answer.StoreEndpoints, answer.StorePrefix
	}
	if len(s.m.Store.Endpoints) == 0 && s.m.Store.CAFile+s.m.Store.CertFile+s.m.Store.KeyFile != "" {
		fmt.Fprintln(a.stderr, "warning: the cluster keeps its own store; the --store-… credentials are not used")
		s.m.Store = spec.Store{}
	}
	return s.write(a.config, id, keys{ca, []byte(answer.NodeCert), key}, a.stderr)
}

// askToJoin answers the cluster's probe while it asks.
func askToJoin(ctx context.Context, s *setup, token pki.Token, request api.JoinRequest, to string) (api.JoinAnswer, error) {
	probe, err := peer.ListenProbe(s.m.Listen.API)
	if err != nil {
		return api.JoinAnswer{}, refused("stop what uses it, or choose another --api-port", "%s cannot be used: %w", s.m.Listen.API, bare(err))
	}
	defer probe.Close()
	r := agent.RecordOf(s.m, 0)
	request.Name, request.Address, request.Witness, request.Tags = r.Name, r.Address, r.Witness, r.Tags
	request.APIPort, request.PeerPort, request.StorePort, request.PGPort = r.APIPort, r.PeerPort, r.StorePort, r.PGPort
	request.PGMajor, request.Nonce = s.major, probe.Nonce()

	c := api.Pinned(to, token.Fingerprint)
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	answer, err := c.Join(ctx, request)
	return answer, joinError(err, s.m.Name, to)
}

func joinError(err error, name, to string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pki.ErrWrongCA):
		return refused("look at HOST:PORT, or make a new token on a member of that cluster", "%s does not belong to the cluster of the token", to)
	case errors.Is(err, api.ErrNoAgent):
		return failed("HOST:PORT must be the API of a running member (port 7432 by default), and open in its firewall", "%w", err)
	case errors.Is(err, api.ErrLost):
		return &exitError{ExitUnknown, "`pgherd members` on a member shows whether " + name + " joined; if so, `pgherd remove " + name + "` and join again with a new token", err}
	}
	return err
}
