package agent

import (
	"context"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
)

const renewCheckEvery = time.Hour

// renewCertificates keeps the node's certificate young. Everything that uses it reads
// it again by itself, but PostgreSQL, which is told.
func (a *Agent) renewCertificates(ctx context.Context) error {
	ticker := time.NewTicker(renewCheckEvery)
	defer ticker.Stop()
	for {
		renewed, err := pki.RenewIfNeeded(a.pki, time.Now())
		if err != nil {
			a.o.Log.Error("the node's certificate could not be renewed", "error", err)
		}
		if renewed && a.server != nil {
			a.o.Log.Info("the node's certificate was renewed")
			if err := a.server.DB.Reload(ctx); err != nil {
				a.o.Log.Warn("PostgreSQL has not read the new certificate yet", "error", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
