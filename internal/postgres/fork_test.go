package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

func silent(string) {}

// forkedPair is n2, promoted, and n1, which wrote on without it and crashed.
func forkedPair(t *testing.T) (n1, n2 *node, o ForkOptions) {
	ctx := testContext(t)
	ca := newCA(t)
	n1, n2 = newPrimary(t, ca, "n1", false), newNode(t, ca, "n2", false)
	n2.source = n1
	check(t, n1.db.CreateSlot(ctx, spec.SlotName("n2")))
	n1.exec(t, "CREATE TABLE public.kept (n int PRIMARY KEY, text text)")
	n1.exec(t, "CREATE TABLE public.quiet (n int)")
	clone(t, n1, n2)
	n1.exec(t, "INSERT INTO public.kept VALUES (0, 'on both')")
	p := must(n1.db.Facts(ctx))(t)
	n2.await(t, "to have all", func(f Facts) bool { return f.ReplayLSN >= p.FlushLSN && f.ReplayAtEnd })
	n2.source = nil
	n2.configure(t)
	check(t, n2.db.Reload(ctx))
	n2.await(t, "to stop its receiver", func(f Facts) bool { return f.Receiver == nil && f.ReplayAtEnd })
	check(t, n2.db.Promote(ctx))
	n2.await(t, "to be primary", func(f Facts) bool { return !f.InRecovery })
	check(t, n2.db.Checkpoint(ctx))
	n2.exec(t, "CREATE TABLE public.elsewhere (n int)") // takes a number that n1's next table takes too
	for range 7 {
		n1.exec(t, "INSERT INTO public.kept SELECT coalesce(max(n), 0) + 1, repeat('x', 200000) FROM public.kept")
	}
	n1.exec(t, "CREATE TABLE public.made (n int)")
	n1.exec(t, "INSERT INTO public.made SELECT generate_series(1, 50)")
	n1.exec(t, "BEGIN; INSERT INTO public.kept VALUES (1000, ''); ROLLBACK")
	for range 3 { // several segments of 1 MB
		n1.exec(t, "INSERT INTO public.kept SELECT max(n) + 1, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 40000) i) FROM public.kept")
	}
	n1.crash(t)
	history := must(History(n2.in.DataDir, 2))(t)
	return n1, n2, ForkOptions{Dir: filepath.Join(testDir(t), "forks"), Instance: n1.in, Member: "n1", Cluster: "cluster", Now: time.Date(2026, 11, 25, 19, 0, 0, 0, time.UTC),
		From: wal.Position{Timeline: 1, LSN: history[0].LSN}, Timeline: 1}
}

// TestFork: what only n1 has is saved before it is rewound, tells what was in it, and can be read
// after the rewind and after the server has written over what it had.
func TestFork(t *testing.T) {
	ctx := testContext(t)
	n1, n2, o := forkedPair(t)
	s := must(SaveFork(ctx, o, silent))(t)
	if s == nil {
		t.Fatal("nothing was saved")
	}
	t.Log(s.Text())
	if s.Committed != 12 || s.Aborted != 1 || len(s.Transactions) != 13 || !s.Complete || s.Missing != nil || s.ID != "20261125T190000Z-tl1" {
		t.Errorf("summary: %d committed, %d aborted, %v, %v %v, id %s", s.Committed, s.Aborted, s.Transactions, s.Complete, s.Missing, s.ID)
	}
	if tx := s.Transactions[0]; tx.XID == 0 || !strings.HasSuffix(tx.At, " UTC") {
		t.Errorf("transaction: %+v", tx)
	}
	control := must(ReadControl(n1.in.DataDir))(t)
	if last := must(LastRecord(ctx, n1.in, control.Checkpoint, 1))(t); last != s.To.LSN {
		t.Errorf("the fork ends at %s, the WAL at %s", s.To, last)
	}
	if n := s.To.LSN.Sub(s.From.LSN); s.Bytes < n || s.Bytes > n+8192+64 || len(s.Files) < 4 {
		t.Errorf("%d bytes from %s to %s in %v", s.Bytes, s.From, s.To, s.Files)
	}
	o.Acked = true
	again := must(SaveFork(ctx, o, silent))(t)
	if again == nil || again.ID != s.ID || !again.Acked || !must(forks.List(o.Dir))(t)[0].Acked {
		t.Errorf("saved a second time: %+v", again)
	}
	saved := filepath.Join(o.Dir, s.ID)
	before := must(readable(ctx, n1.in, saved, s))(t)
	linked := filepath.Join(testDir(t), "link")
	check(t, os.Link(n1.in.path("pg_wal/"+s.Files[0]), linked))
	original := must(os.ReadFile(linked))(t)

	rewindOptions := RewindOptions{Source: n2.asSource("n1"), Instance: n1.in, Mark: Mark{"cluster", "n1", s.SystemID}}
	check(t, recoverSingleUser(ctx, n1.in, nil)) // as if the agent had died after it
	o.Now = o.Now.Add(time.Minute)
	if again := must(SaveFork(ctx, o, silent))(t); again == nil || again.ID != s.ID {
		t.Errorf("saved again after crash recovery: %+v", again)
	}
	if list := must(forks.List(o.Dir))(t); len(list) != 1 || list[0].Committed != 12 {
		t.Errorf("saved forks: %+v", list)
	}
	must(Rewind(ctx, rewindOptions, nil))(t)
	if now := must(os.ReadFile(linked))(t); slices.Equal(now, original) {
		t.Error("pg_rewind left the fork's segment alone: a hard link would do, and copies are for nothing")
	}
	check(t, n2.db.CreateSlot(ctx, spec.SlotName("n1")))
	n1.source = n2
	n1.configure(t)
	n1.start(t)
	n1.await(t, "to stream", func(f Facts) bool { return f.Receiver != nil && f.Receiver.Status == "streaming" && f.Timeline == 2 })
	for range 6 {
		n2.exec(t, "INSERT INTO public.quiet SELECT generate_series(1, 20000)")
		n2.exec(t, "CHECKPOINT")
		n1.exec(t, "CHECKPOINT")
	}
	if after := must(readable(ctx, n1.in, saved, s))(t); after != before {
		t.Errorf("pg_waldump reads %d records of what was saved, and read %d before", after, before)
	}
	checkNames(t, n1, s)
}

// readable counts the records that pg_waldump finds in a saved fork.
func readable(ctx context.Context, in Instance, dir string, s *forks.Summary) (n int, err error) {
	_, err = stream(ctx, func(line string) {
		if _, ok := parseWaldumpLine(line); ok {
			n++
		}
	}, in.bin("pg_waldump"), "-p", dir, "-t", "1", "-s", s.From.LSN.String(), "-e", (s.To.LSN + 1).String())
	if n > 0 {
		err = nil
	}
	return n, err
}

// checkNames: tables have their names; what was made in the fork has none, though the server has
// something else under its number.
func checkNames(t *testing.T, n *node, s *forks.Summary) {
	t.Helper()
	check(t, n.db.NameRelations(testContext(t), s.Relations))
	s.Named = true
	if tables := s.Tables(); !slices.Equal(tables, []string{"postgres.public.kept"}) {
		t.Errorf("tables: %v of %+v", tables, s.Relations)
	}
	var made, index, toast bool
	for _, r := range s.Relations {
		made = made || r.Created && r.Name == "" && r.Records >= 50
		index = index || r.Name == "postgres.public.kept_pkey" && r.Kind == "index" && r.Of == "postgres.public.kept"
		toast = toast || r.Kind == "toast" && r.Of == "postgres.public.kept" && r.Records > 1
		if strings.Contains(r.Name, "elsewhere") || strings.Contains(r.Name, "quiet") {
			t.Errorf("%+v was not touched by the fork", r)
		}
	}
	if !made || !index || !toast {
		t.Errorf("made in the fork: %v, index: %v, toast: %v: %+v", made, index, toast, s.Relations)
	}
	t.Log(s.Text())
}

// TestForkThatCannotBeSaved: nothing is written half, and what stands in the way is an error. What
// is gone already is none: the summary says so.
func TestForkThatCannotBeSaved(t *testing.T) {
	ctx := testContext(t)
	n1, _, o := forkedPair(t)

	without := o
	without.Instance.BinDir = testDir(t)
	if s, err := SaveFork(ctx, without, silent); err == nil {
		t.Errorf("without pg_waldump: %+v", s)
	}
	inTheWay := o
	inTheWay.Dir = filepath.Join(testDir(t), "file")
	check(t, os.WriteFile(inTheWay.Dir, nil, 0o600))
	if _, err := SaveFork(ctx, inTheWay, silent); err == nil {
		t.Error("into a file")
	}
	stopped, cancel := context.WithCancel(ctx)
	_, err := SaveFork(stopped, o, func(text string) {
		if strings.Contains(text, "MB") {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if list := must(forks.List(o.Dir))(t); len(list) != 0 {
		t.Errorf("half a fork is listed: %+v", list)
	}

	all := must(SaveFork(ctx, o, silent))(t)
	check(t, os.RemoveAll(o.Dir))
	check(t, os.Remove(n1.in.path("pg_wal/"+all.Files[0])))
	part := must(SaveFork(ctx, o, silent))(t)
	if part == nil || part.Complete || len(part.Missing) != 1 || !strings.Contains(part.Missing[0], "not there any more") || part.Committed >= all.Committed || part.To != all.To {
		t.Errorf("without its first file: %+v", part)
	}
	t.Log(part.Text())

	none := o
	none.From.LSN = all.To.LSN + wal.LSN(8)
	if s := must(SaveFork(ctx, none, silent))(t); s != nil {
		t.Errorf("after the last record: %+v", s)
	}
	nowhere := o
	nowhere.From = wal.Position{}
	if s := must(SaveFork(ctx, nowhere, silent))(t); s == nil || s.Complete || s.To != all.To || s.Committed < part.Committed {
		t.Errorf("without a common position: %+v", s)
	}
}

// TestForkOverTwoTimelines: a member that was promoted itself has written on two timelines after the
// point that it shares with the primary.
// TestForkWithAHole: where WAL cannot be read it has not come to its end. All that follows is kept, and the summary says so.
func TestForkWithAHole(t *testing.T) {
	ctx := testContext(t)
	n1, _, o := forkedPair(t)
	whole, files, err := scanFork(ctx, o)
	if err != nil || !whole.Complete || len(files) < 4 {
		t.Fatalf("%+v %v %v", whole, files, err)
	}
	at := func(name string) int64 { // where in its file the fork begins, or a page in its midst
		if name == files[0] {
			return int64(o.From.LSN) % (1 << 20)
		}
		return 100 * walPageBytes
	}
	for i, what := range []string{"its first record", "a page in its midst"} {
		name := files[i]
		path := n1.in.path("pg_wal/" + name)
		sound := must(os.ReadFile(path))(t)
		spoilt := slices.Clone(sound)
		for n := range 64 {
			spoilt[at(name)+int64(n)] ^= 0xff
		}
		check(t, os.WriteFile(path, spoilt, 0o600))
		s, kept, err := scanFork(ctx, o)
		if err != nil || s == nil {
			t.Fatalf("%s is spoilt, and nothing is saved: %v", what, err)
		}
		if s.Complete || !slices.Equal(kept, files) || s.Committed >= whole.Committed || !strings.Contains(s.Text(), "cannot be read there") {
			t.Errorf("%s is spoilt: %s; files %v, want %v", what, s.Text(), kept, files)
		}
		check(t, os.WriteFile(path, sound, 0o600))
	}
	if again, kept, err := scanFork(ctx, o); err != nil || !again.Complete || !slices.Equal(kept, files) {
		t.Errorf("sound again: %+v %v %v", again, kept, err)
	}
}

func TestForkOverTwoTimelines(t *testing.T) {
	ctx := testContext(t)
	n := newPrimary(t, newCA(t), "n1", false)
	n.exec(t, "CREATE TABLE public.t (n int)")
	from := must(n.db.Facts(ctx))(t).FlushLSN
	n.exec(t, "INSERT INTO public.t SELECT generate_series(1, 30000)")
	n.stop(t)
	check(t, EnsureStandbySignal(n.in))
	n.start(t)
	check(t, n.db.Promote(ctx))
	n.await(t, "to be primary", func(f Facts) bool { return !f.InRecovery })
	n.exec(t, "INSERT INTO public.t VALUES (1)")
	n.exec(t, "INSERT INTO public.t VALUES (2)")
	n.crash(t)
	o := ForkOptions{Dir: testDir(t), Instance: n.in, Member: "n1", From: wal.Position{Timeline: 1, LSN: from}, Timeline: 2, Now: time.Now()}
	s := must(SaveFork(ctx, o, silent))(t)
	if s == nil || s.Committed != 3 || !s.Complete || s.To.Timeline != 2 {
		t.Fatalf("summary: %+v", s)
	}
	if !slices.Contains(s.Files, "00000002.history") || !strings.HasPrefix(s.Files[0], "00000001") || !slices.ContainsFunc(s.Files, func(f string) bool { return strings.HasPrefix(f, "0000000200") }) {
		t.Errorf("files: %v", s.Files)
	}
}

func TestParseForkLines(t *testing.T) {
	s := &forks.Summary{}
	f := newForkScan(s)
	for line := range strings.Lines(`rmgr: Heap        len (rec/tot):     59/    59, tx:        742, lsn: 0/03000060, prev 0/03000028, desc: INSERT off 2 flags 0x08, blkref #0: rel 1663/5/16385 blk 0
rmgr: Heap        len (rec/tot):     59/  8000, tx:        742, lsn: 0/030000A0, prev 0/03000060, desc: UPDATE off 2, blkref #0: rel 1663/5/16385 blk 0 FPW, blkref #1: rel 1663/5/16385 blk 1, blkref #2: rel 1663/5/16385 fork vm blk 0
rmgr: Storage     len (rec/tot):     42/    42, tx:        742, lsn: 0/030000E0, prev 0/030000A0, desc: CREATE base/5/16390
rmgr: Storage     len (rec/tot):     42/    42, tx:        742, lsn: 0/030000F0, prev 0/030000A0, desc: CREATE pg_tblspc/16400/PG_15_202209061/5/16391_fsm
rmgr: Heap        len (rec/tot):     59/    59, tx:        742, lsn: 0/03000100, prev 0/030000E0, desc: INSERT off 1, blkref #0: rel 1663/5/16390 blk 0
rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/03000140, prev 0/03000100, desc: COMMIT 2026-11-25 19:00:00.123456 UTC; inval msgs: catcache 7
rmgr: Transaction len (rec/tot):     34/    34, tx:        743, lsn: 0/03000170, prev 0/03000140, desc: ABORT 2026-11-25 19:00:01.000000 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:          0, lsn: 0/030001A0, prev 0/03000170, desc: COMMIT_PREPARED 744: 2026-11-25 19:00:02.000000 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:          0, lsn: 0/030001D0, prev 0/030001A0, desc: COMMIT 2026-11-25 19:00:02.000000 UTC
rmgr: Heap        len (rec/tot):     59/    59, tx:        745, lsn: 0/04000000, prev 0/030001D0, desc: INSERT off 1, blkref #0: rel 1663/5/1 blk 0
`) {
		f.line(strings.TrimSuffix(line, "\n"), 0x4000000)
	}
	f.finish()
	if s.Committed != 2 || s.Aborted != 1 || s.Transactions[0] != (forks.Transaction{XID: 742, At: "2026-11-25 19:00:00.123456 UTC"}) || s.Transactions[2].XID != 744 {
		t.Errorf("transactions: %+v", s.Transactions)
	}
	want := []forks.Relation{{Tablespace: 1663, Database: 5, Filenode: 16385, Records: 2}, {Tablespace: 1663, Database: 5, Filenode: 16390, Records: 1, Created: true}}
	if !slices.Equal(s.Relations, want) || !f.created[forkRelation{16400, 5, 16391}] {
		t.Errorf("relations: %+v, created %v", s.Relations, f.created)
	}
	if s.To.LSN != 0x30001D0 {
		t.Errorf("to %s", s.To)
	}
}
