package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/wal"
)

// forkScan gathers what pg_waldump says of a fork.
type forkScan struct {
	s         *forks.Summary
	records   int
	last      wal.LSN // start of the last record
	first     wal.LSN
	lastBytes int64
	timeline  wal.Timeline
	relations map[forkRelation]int
	created   map[forkRelation]bool
}

type forkRelation struct{ tablespace, database, filenode uint32 }

func newForkScan(s *forks.Summary) *forkScan {
	return &forkScan{s: s, relations: map[forkRelation]int{}, created: map[forkRelation]bool{}}
}

// read goes through one range of one timeline. pg_waldump ends with an error wherever WAL ends, which
// is its normal end; see LastRecord.
func (f *forkScan) read(ctx context.Context, in Instance, tl wal.Timeline, from, to wal.LSN) error {
	f.timeline = tl
	cmd := command(ctx, in.bin("pg_waldump"), "-p", filepath.Join(in.DataDir, "pg_wal"),
		"-t", strconv.FormatUint(uint64(tl), 10), "-s", from.String(), "-e", to.String())
	cmd.Env = append(cmd.Env, "TZ=UTC")
	text, err := streamCommand(ctx, cmd, func(line string) { f.line(line, to) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return fmt.Errorf("reading the WAL of timeline %d after %s: %w: %s", tl, from, err, text)
	}
	return nil
}

func (f *forkScan) line(line string, to wal.LSN) {
	lsn, ok := parseWaldumpLine(line)
	if !ok || lsn >= to {
		return
	}
	f.records++
	if f.first == 0 {
		f.first = lsn
	}
	f.last, f.lastBytes = lsn, totalLength(line)
	f.s.To = wal.Position{Timeline: f.timeline, LSN: lsn}
	head, desc, _ := strings.Cut(line, ", desc: ")
	switch {
	case strings.HasPrefix(line, "rmgr: Transaction "):
		f.transaction(head, desc)
	case strings.HasPrefix(line, "rmgr: Storage "):
		if path, ok := strings.CutPrefix(desc, "CREATE "); ok {
			if r, ok := parseRelationPath(path); ok {
				f.created[r] = true
			}
		}
	}
	f.touched(desc)
}

// totalLength reads "len (rec/tot):    114/   114,".
func totalLength(line string) int64 {
	_, rest, _ := strings.Cut(line, "len (rec/tot):")
	_, rest, _ = strings.Cut(rest, "/")
	text, _, _ := strings.Cut(rest, ",")
	n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n
}

// transaction counts an end. One without a number changed nothing that anybody sees.
func (f *forkScan) transaction(head, desc string) {
	kind, rest, _ := strings.Cut(desc, " ")
	aborted := strings.HasPrefix(kind, "ABORT")
	if !aborted && !strings.HasPrefix(kind, "COMMIT") {
		return
	}
	_, text, _ := strings.Cut(head, "tx:")
	text, _, _ = strings.Cut(text, ",")
	if strings.HasSuffix(kind, "_PREPARED") {
		text, rest, _ = strings.Cut(rest, ": ")
	}
	xid, _ := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if xid == 0 {
		return
	}
	if aborted {
		f.s.Aborted++
	} else {
		f.s.Committed++
	}
	if len(f.s.Transactions) < forks.TransactionsMax {
		at, _, _ := strings.Cut(rest, ";")
		f.s.Transactions = append(f.s.Transactions, forks.Transaction{XID: uint32(xid), At: strings.TrimSpace(at), Aborted: aborted})
	}
}

// touched counts the record once for each relation of its block references, "blkref #0: rel 1663/5/16385 blk 0".
func (f *forkScan) touched(desc string) {
	var before forkRelation
	for {
		_, rest, ok := strings.Cut(desc, "blkref #")
		if !ok {
			return
		}
		desc = rest
		_, place, _ := strings.Cut(rest, ": rel ")
		place, _, _ = strings.Cut(place, " ")
		if r, ok := parsePlace(place); ok && r != before {
			f.relations[r]++
			before = r
		}
	}
}

func parsePlace(text string) (r forkRelation, ok bool) {
	part := strings.Split(text, "/")
	if len(part) != 3 {
		return r, false
	}
	for i, into := range []*uint32{&r.tablespace, &r.database, &r.filenode} {
		n, err := strconv.ParseUint(part[i], 10, 32)
		if err != nil {
			return r, false
		}
		*into = uint32(n)
	}
	return r, true
}

// Tablespaces with numbers of their own.
const (
	tablespaceDefault = 1663
	tablespaceGlobal  = 1664
)

// parseRelationPath reads base/DB/NODE, global/NODE or pg_tblspc/TS/VERSION/DB/NODE.
func parseRelationPath(path string) (forkRelation, bool) {
	part := strings.Split(strings.TrimSpace(path), "/")
	end := len(part) - 1
	part[end], _, _ = strings.Cut(part[end], "_") // its map of free space and the like
	switch {
	case len(part) == 5 && part[0] == "pg_tblspc":
		return parsePlace(part[1] + "/" + part[3] + "/" + part[4])
	case len(part) == 3 && part[0] == "base":
		return parsePlace(fmt.Sprintf("%d/%s/%s", tablespaceDefault, part[1], part[2]))
	case len(part) == 2 && part[0] == "global":
		return parsePlace(fmt.Sprintf("%d/0/%s", tablespaceGlobal, part[1]))
	}
	return forkRelation{}, false
}

// finish puts what was counted into the summary.
func (f *forkScan) finish() {
	if f.records > 0 {
		begin := f.s.From.LSN
		if begin == 0 {
			begin = f.first
		}
		f.s.Bytes = f.last.Sub(begin) + f.lastBytes
	}
	for r, n := range f.relations {
		f.s.Relations = append(f.s.Relations, forks.Relation{Tablespace: r.tablespace, Database: r.database, Filenode: r.filenode, Records: n, Created: f.created[r]})
	}
	slices.SortFunc(f.s.Relations, func(a, b forks.Relation) int {
		return cmp.Or(b.Records-a.Records, cmp.Compare(a.Database, b.Database), cmp.Compare(a.Filenode, b.Filenode))
	})
	f.s.Relations = f.s.Relations[:min(len(f.s.Relations), forks.RelationsMax)]
}
