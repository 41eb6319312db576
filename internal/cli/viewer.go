package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/pki"
)

func (a *app) viewerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "viewer", Short: "let somebody look, such as Prometheus", Args: cobra.NoArgs, RunE: needsSubcommand}
	cmd.AddCommand(a.viewerCreateCommand())
	return cmd
}

// viewerFiles is what the command wrote.
type viewerFiles struct {
	Viewer  string `json:"viewer"`
	Cert    string `json:"cert_file"`
	Key     string `json:"key_file"`
	CA      string `json:"ca_file"`
	Expires string `json:"expires"`
}

func (a *app) viewerCreateCommand() *cobra.Command {
	dir := "."
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "make a key and a certificate that may look at every member, such as at /metrics",
		Long:    "Writes NAME.key, NAME.crt and pgherd-ca.crt. The certificate is good for a year and cannot be taken back; the same command renews it, and files that are there keep their owner.",
		Example: "  pgherd viewer create prometheus --dir /etc/prometheus/pgherd",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd, func(ctx context.Context, c *api.Client) error { return a.createViewer(ctx, c, args[0], dir) })
		},
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "where the files go; it must be there")
	return cmd
}

func (a *app) createViewer(ctx context.Context, c *api.Client, name, dir string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usage("", "--dir %s is no directory", dir)
	}
	key, csr, err := pki.NewKeyAndCSR(name, nil)
	if err != nil {
		return err
	}
	answer, err := c.Viewer(ctx, api.ViewerRequest{Name: name, CSR: string(csr)})
	if err != nil {
		return err
	}
	files := viewerFiles{name, filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"), filepath.Join(dir, "pgherd-ca.crt"), answer.Expires}
	for _, f := range []struct {
		path string
		data []byte
		mode fs.FileMode
	}{{files.Key, key, 0o600}, {files.Cert, []byte(answer.Cert), 0o644}, {files.CA, []byte(answer.CACert), 0o644}} {
		if err := replaceFile(f.path, f.data, f.mode); err != nil {
			return failed("", "%w", err)
		}
	}
	return a.answer(files, func(w io.Writer) {
		fmt.Fprintf(w, "viewer %s, until %s:\n  %s\n  %s\n  %s\n", name, files.Expires, files.Key, files.Cert, files.CA)
	})
}

// replaceFile writes the file whole or not at all. One that is there leaves its owner to the new one: who scrapes as
// another user must be able to read it after a renewal.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // nobody else may read it
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it is gone when all went well
	_, err = f.Write(data)
	if old, statErr := os.Lstat(path); statErr == nil {
		if sys, ok := old.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && old.Mode().IsRegular() {
			err = errors.Join(err, f.Chown(int(sys.Uid), int(sys.Gid)))
		}
	}
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
