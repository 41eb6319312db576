// Command pgherd is the agent, the warden and the command line in one binary.
package main

import (
	"os"

	"github.com/pgherd/pgherd/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
