package pki

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRenewAtTwoThirds(t *testing.T) {
	made := time.Now().Truncate(time.Second)
	d := newDir(t, newCA(t, clusterA), "n1", made)
	old, err := NodeCertificate(d)
	if err != nil {
		t.Fatal(err)
	}
	due := made.Add(60 * 24 * time.Hour)
	for _, step := range []struct {
		now  time.Time
		want bool
	}{
		{made, false}, {due.Add(-time.Second), false}, {due, true}, {due.Add(time.Hour), false}, {due.Add(60 * 24 * time.Hour), true},
	} {
		got, err := RenewIfNeeded(d, step.now)
		if err != nil || got != step.want {
			t.Fatalf("%s after it was made: renewed %v, %v", step.now.Sub(made), got, err)
		}
	}
	cert, err := NodeCertificate(d)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "n1" || !slices.Equal(cert.DNSNames, old.DNSNames) || len(cert.IPAddresses) != len(old.IPAddresses) {
		t.Errorf("renewed for %s %v %v", cert.Subject, cert.DNSNames, cert.IPAddresses)
	}
	if cert.NotAfter.Sub(cert.NotBefore) != old.NotAfter.Sub(old.NotBefore) {
		t.Errorf("lifetime changed to %s", cert.NotAfter.Sub(cert.NotBefore))
	}
	if cert.SerialNumber.Cmp(old.SerialNumber) == 0 {
		t.Error("same serial number")
	}
}

func TestRenewAlsoRepairs(t *testing.T) {
	t.Run("made while the clock ran ahead", func(t *testing.T) {
		d := newDir(t, newCA(t, clusterA), "n1", time.Now().Add(48*time.Hour))
		if renewed, err := RenewIfNeeded(d, time.Now()); err != nil || !renewed {
			t.Fatalf("renewed %v, %v", renewed, err)
		}
	})
	t.Run("damaged key", func(t *testing.T) {
		d := newDir(t, newCA(t, clusterA), "n1", time.Now())
		if err := os.Truncate(d.NodeKey(), 0); err != nil {
			t.Fatal(err)
		}
		if renewed, err := RenewIfNeeded(d, time.Now()); err != nil || !renewed {
			t.Fatalf("renewed %v, %v", renewed, err)
		}
		if _, err := tls.LoadX509KeyPair(d.NodeCert(), d.NodeKey()); err != nil {
			t.Error(err)
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		if _, err := RenewIfNeeded(Dir(t.TempDir()), time.Now()); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%v", err)
		}
	})
	t.Run("another cluster's CA", func(t *testing.T) {
		d := newDir(t, newCA(t, clusterA), "n1", time.Now().Add(-80*24*time.Hour))
		other := newDir(t, newCA(t, clusterB), "n1", time.Now())
		for _, pair := range [][2]string{{other.CACert(), d.CACert()}, {other.CAKey(), d.CAKey()}} {
			if err := os.WriteFile(pair[1], mustRead(t, pair[0]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if renewed, err := RenewIfNeeded(d, time.Now()); renewed || !errors.Is(err, ErrNotMember) {
			t.Fatalf("renewed %v, %v", renewed, err)
		}
	})
}

// Whatever a crash leaves of a renewal, both paths together give a usable pair.
func TestRenewalCrash(t *testing.T) {
	ca := newCA(t, clusterA)
	cert, key, err := ca.Issue("n1", nil, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, crash := range map[string]func(d Dir) error{
		"key only": func(d Dir) error {
			if err := makeDir(d.join("node-dead"), owner{}); err != nil {
				return err
			}
			return writeFile(d.join("node-dead/node.key"), key, owner{})
		},
		"whole generation, link not yet": func(d Dir) error { return writeGeneration(d, "node-dead", cert, key, owner{}) },
		"temporary link left": func(d Dir) error {
			return errors.Join(writeGeneration(d, "node-dead", cert, key, owner{}), os.Symlink("node-dead", d.join("current.new")))
		},
		"link done, old ones not removed": func(d Dir) error {
			return errors.Join(writeGeneration(d, "node-dead", cert, key, owner{}), replaceLink("node-dead", d.join(currentLink)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t, ca, "n1", time.Now())
			if err := crash(d); err != nil {
				t.Fatal(err)
			}
			if _, err := tls.LoadX509KeyPair(d.NodeCert(), d.NodeKey()); err != nil {
				t.Errorf("after the crash: %v", err)
			}
			for range 2 { // the next renewals work and clear up
				if err := newDirPair(t, d); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := tls.LoadX509KeyPair(d.NodeCert(), d.NodeKey()); err != nil {
				t.Errorf("after the next renewal: %v", err)
			}
			if n := countGenerations(t, d); n != 2 {
				t.Errorf("%d generations kept, want this one and the one before", n)
			}
		})
	}
}

func countGenerations(t *testing.T, d Dir) (n int) {
	t.Helper()
	entries, err := os.ReadDir(string(d))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), generationPrefix) {
			n++
		}
	}
	return n
}

// A reader beside endless renewals never sees half a pair.
func TestReadersNeverSeeHalfAPair(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	done := make(chan error, 1)
	go func() {
		for range 100 {
			cert, key, err := ca.Issue("n1", nil, time.Now(), time.Hour)
			if err == nil {
				err = SaveNode(d, cert, key)
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		cert, key, err := readNode(d)
		if err == nil {
			_, err = tls.X509KeyPair(cert, key)
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}

func TestExport(t *testing.T) {
	d := newDir(t, newCA(t, clusterA), "n1", time.Now())
	to := Dir(filepath.Join(t.TempDir(), "tls"))
	for _, want := range []bool{true, false} {
		if changed, err := Export(d, to, -1, -1); err != nil || changed != want {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	if _, err := os.Stat(to.CAKey()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the CA's key was exported: %v", err)
	}
	if err := newDirPair(t, d); err != nil {
		t.Fatal(err)
	}
	if changed, err := Export(d, to, -1, -1); err != nil || !changed {
		t.Fatalf("after a renewal: changed %v, %v", changed, err)
	}
	if string(mustRead(t, to.NodeCert())) != string(mustRead(t, d.NodeCert())) {
		t.Error("the exported certificate is another one")
	}
}
