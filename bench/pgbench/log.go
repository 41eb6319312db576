package pgbench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Transaction is one line of pgbench's log.
type Transaction struct {
	Done    time.Time
	Latency time.Duration // with -R: from when it was due, so what it waited for others is in it
	Failed  bool          // its Latency is not known
}

// ReadLogs gives all transactions of a run with this LogPrefix, one thread's after the other's.
func ReadLogs(prefix string) (all []Transaction, err error) {
	paths, err := filepath.Glob(prefix + ".*")
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("pgbench left no log %s.*", prefix)
	}
	for _, path := range paths {
		list, e := readLog(path)
		all, err = append(all, list...), errors.Join(err, e)
	}
	return all, err
}

func readLog(path string) (list []Transaction, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		t, err := parseTransaction(lines.Text())
		if err != nil {
			return list, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, t)
	}
	return list, lines.Err()
}

// parseTransaction reads: client, its transaction's number, microseconds, script, when it was done in
// seconds since 1970 and microseconds, and more that is not needed. (A failed one says so in words in
// place of the microseconds, and a skipped one too.)
func parseTransaction(line string) (t Transaction, err error) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return t, fmt.Errorf("%q is no transaction", line)
	}
	seconds, err1 := strconv.ParseInt(fields[4], 10, 64)
	micros, err2 := strconv.ParseInt(fields[5], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return t, fmt.Errorf("%q: %w", line, err)
	}
	t.Done = time.Unix(seconds, micros*1000)
	latency, err := strconv.ParseInt(fields[2], 10, 64)
	t.Latency, t.Failed = time.Duration(latency)*time.Microsecond, err != nil
	return t, nil
}

// LongestStall is the longest that a transaction took which ended in [from, to]; 0 when none did.
func LongestStall(list []Transaction, from, to time.Time) (longest time.Duration) {
	for _, t := range list {
		if !t.Done.Before(from) && !t.Done.After(to) {
			longest = max(longest, t.Latency)
		}
	}
	return longest
}
