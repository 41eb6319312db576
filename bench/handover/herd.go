package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pgherd/pgherd/bench/pgbench"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/demo"
)

const (
	herdMembers = 3
	readyMax    = time.Minute
)

// herd is the side that pgherd watches: clients use the endpoint of its first member.
type herd struct {
	c      *demo.Cluster
	member string
}

func newHerd(ctx context.Context, exe string, load pgbench.Load) (*herd, error) {
	c, err := startCluster(ctx, exe, herdMembers, load)
	if err != nil {
		return nil, err
	}
	return &herd{c: c, member: c.Names()[0]}, nil
}

// startCluster gives a demo cluster with pgbench's tables, whose endpoints serve.
func startCluster(ctx context.Context, exe string, nodes int, load pgbench.Load) (c *demo.Cluster, err error) {
	if c, err = demo.Open(ctx, demo.Config{Nodes: nodes, Exe: exe, Say: say}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.End())
		}
	}()
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	dsn := c.EndpointDSN(c.Names()[0])
	if dsn == "" {
		return nil, errors.New("the cluster has no endpoints: `make deps` installs PgBouncer")
	}
	return c, load.Init(ctx, dsn)
}

func (h *herd) name() string { return "pgherd" }

func (h *herd) dsn() string { return h.c.EndpointDSN(h.member) }

// handover is `pgherd switchover`, whose certificate says what each part took.
func (h *herd) handover(ctx context.Context) (p phases, err error) {
	out, err := h.c.Pgherd(ctx, "switchover", "--json")
	if err != nil {
		return p, err
	}
	return certified(out, h.member)
}

// errUncertified: the primary has moved, but what that took is not known.
var errUncertified = errors.New("the certificate is not complete")

// certified reads what the command answered, for the endpoint of one member.
func certified(answer []byte, member string) (p phases, err error) {
	var op struct {
		Certificate *core.Certificate `json:"certificate"`
	}
	if err := json.Unmarshal(answer, &op); err != nil {
		return p, fmt.Errorf("pgherd switchover --json: %w", err)
	}
	if op.Certificate == nil {
		return p, errUncertified
	}
	c := op.Certificate
	for _, part := range c.Poolers {
		if part.Name == member && part.State == core.HoldOver {
			return phases{fromMS(part.DrainMS), fromMS(c.StopMS), fromMS(c.PromoteMS), fromMS(part.HeldMS)}, nil
		}
	}
	return p, fmt.Errorf("%w: nothing of the endpoint of %s: %+v", errUncertified, member, *c)
}

func (h *herd) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyMax, errors.New("the cluster was not well again in "+readyMax.String()))
	defer cancel()
	_, err := h.c.WaitHealthy(ctx, func(demo.Status) {})
	return err
}

func (h *herd) poolerPID() (int, error) { return pidIn(h.c, h.member) }

// pidIn reads the PID file of a member's read-write PgBouncer.
func pidIn(c *demo.Cluster, member string) (int, error) {
	data, err := os.ReadFile(filepath.Join(c.EndpointDir(member, "rw"), "pgbouncer.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}
