// Command reach says by its exit code whether a URL answers, soon and as it should. It asks as Go's own tools do, through the
// proxy that the environment names, and is there where curl is not.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

const patience = 5 * time.Second // a machine that may not ask is often one whose packets are dropped

func main() {
	answer, err := (&http.Client{Timeout: patience}).Get(os.Args[1])
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", os.Args[1], answer.Status)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
