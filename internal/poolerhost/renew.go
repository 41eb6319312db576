package poolerhost

import (
	"context"
	"fmt"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/pki"
)

const (
	renewCheckEvery = time.Hour
	renewRetry      = time.Minute
)

// keepCertificate has the certificate renewed when two thirds of its life are over, with a new key. The members' TLS and
// PgBouncer read the new one by themselves.
func (h *host) keepCertificate(ctx context.Context) {
	for ctx.Err() == nil {
		wait := renewCheckEvery
		renewed, err := h.renew(ctx, time.Now())
		if err != nil {
			h.o.Log.Error("the certificate could not be renewed", "error", err)
			wait = renewRetry
		}
		if renewed {
			h.o.Log.Info("the certificate was renewed")
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (h *host) renew(ctx context.Context, now time.Time) (renewed bool, err error) {
	cert, err := pki.NodeCertificate(h.pki)
	if err != nil {
		return false, err
	}
	if now.Before(pki.RenewAt(cert)) {
		return false, nil
	}
	if now.After(cert.NotAfter) {
		return false, fmt.Errorf("it ended at %s, and nobody can be asked with it: join again with a new token, under another name", cert.NotAfter.Format(time.RFC3339))
	}
	key, csr, err := pki.NewKeyAndCSR(h.o.Config.Name, []string{h.o.Config.Address})
	if err != nil {
		return false, err
	}
	answer, err := ask(ctx, h.source, func(ctx context.Context, c *api.Client) (api.PoolerRenewed, error) { return c.PoolerRenew(ctx, csr) })
	if err != nil {
		return false, err
	}
	return true, pki.SaveNode(h.pki, []byte(answer.Cert), key)
}
