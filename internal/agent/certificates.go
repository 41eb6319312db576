package agent

import (
	"context"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
)

const (
	renewCheckEvery = time.Hour
	renewRetry      = 5 * time.Second
)

// renewCertificates keeps the node's certificate young. Everything that uses it reads
// it again by itself, but PostgreSQL, which is told.
func (a *Agent) renewCertificates(ctx context.Context) error {
	ticker := time.NewTicker(renewCheckEvery)
	defer ticker.Stop()
	told := true
	for {
		renewed, err := pki.RenewIfNeeded(a.pki, time.Now())
		if err != nil {
			a.o.Log.Error("the node's certificate could not be renewed", "error", err)
		}
		if renewed {
			a.o.Log.Info("the node's certificate was renewed")
		}
		told = a.tellCertificate(ctx, told && !renewed)
		wait := ticker.C
		if !told {
			wait = time.After(renewRetry)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil
		}
	}
}

// tellCertificate has PostgreSQL read the new certificate, by signal when SQL cannot be had.
func (a *Agent) tellCertificate(ctx context.Context, told bool) bool {
	if told || a.server == nil || a.warden.status().PostmasterPID == 0 {
		return true // a later start reads it anyway
	}
	if a.server.DB.Reload(ctx) == nil {
		return true
	}
	c := a.warden.client()
	return c != nil && c.Signal(ctx, syscall.SIGHUP) == nil
}
