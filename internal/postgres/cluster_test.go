package postgres

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/spec"
)

// TestCluster walks one primary and one standby through their life: bootstrap,
// clone, streaming, hba, failover, rewind of the old primary, install over old data.
func TestCluster(t *testing.T) {
	ctx := testContext(t)
	ca := newCA(t)
	n1 := newPrimary(t, ca, "n1", true)
	n2 := newNode(t, ca, "n2", true)
	n2.source = n1
	ca.issue(t, "app")
	ca.issuePooler(t, "app1")
	ca.issueTo(t, "like-n2", "n2", poolerOrganization)
	ca.issueTo(t, "witness", "app1", nodeOrganization)

	t.Run("bootstrap", func(t *testing.T) { checkBootstrap(t, n1) })
	t.Run("network access", func(t *testing.T) { checkAccess(t, n1) })
	t.Run("roles", func(t *testing.T) { checkRoles(t, n1) })
	t.Run("lookup", func(t *testing.T) { checkLookup(t, n1) })
	check(t, n1.db.CreateSlot(ctx, spec.SlotName("n2")))
	check(t, n1.db.CreateSlot(ctx, spec.SlotName("n2")))
	t.Run("clone is refused", func(t *testing.T) { checkCloneRefusals(t, n1, n2) })
	clone(t, n1, n2)
	t.Run("streaming", func(t *testing.T) { checkStreaming(t, n1, n2) })
	t.Run("receiver stopped", func(t *testing.T) { checkReceiverStopped(t, n1, n2) })
	t.Run("failover and rewind", func(t *testing.T) { checkRewind(t, n1, n2) })
	t.Run("clone over old data", func(t *testing.T) { checkCloneOver(t, n1, n2) })
}

func checkBootstrap(t *testing.T, n *node) {
	ctx := testContext(t)
	state, version, mark, err := DataState(n.in)
	check(t, err)
	if state != DirPresent || version == "" || mark == nil || mark.Member != n.name {
		t.Fatalf("data state: %v %v %+v", state, version, mark)
	}
	f := must(n.db.Facts(ctx))(t)
	c := must(ReadControl(n.in.DataDir))(t)
	_, program, err := FindBinDir(n.in.BinDir)
	check(t, err)
	t.Logf("PostgreSQL %s", program)
	if f.ServerVersion/10000 != program.Major || version != strconv.Itoa(program.Major) {
		t.Errorf("the server says %d, its directory %s, the program is %s", f.ServerVersion, version, program)
	}
	if f.InRecovery || f.Timeline != 1 || f.SystemID != c.SystemID || f.FlushLSN == 0 || f.Receiver != nil {
		t.Errorf("facts of a new primary: %+v", f)
	}
	if c.State != StateInProduction || c.ChecksumVersion != 1 || c.WalSegmentBytes != 1<<20 || c.Timeline != 1 {
		t.Errorf("control file: %+v", c)
	}
	if f.Setting("max_connections") != "30" || f.Setting("ssl") != "on" || f.Setting("data_checksums") != "on" || len(f.PendingRestart) != 0 {
		t.Errorf("settings: %v, pending %v", f.Settings, f.PendingRestart)
	}
	for _, name := range FactSettings {
		if _, ok := f.Settings[name]; !ok && !(name == "reserved_connections" && f.ServerVersion < 160000) {
			t.Errorf("setting %s is missing", name)
		}
	}
	full := must(ReadControlFull(ctx, n.in))(t)
	if full.SystemID != c.SystemID || !maps.Equal(full.Settings, c.Limits.Map()) || full.State != c.State || full.Timeline != c.Timeline || full.Settings["max_connections"] != 30 ||
		!full.WalLogHints || full.ChecksumVersion != 1 || full.WalLevel != "replica" {
		t.Errorf("pg_controldata disagrees: %+v", full)
	}
	if errs := must(n.db.ConfigErrors(ctx))(t); errs != nil {
		t.Errorf("configuration errors: %v", errs)
	}
	if b := must(n.db.DatabaseBytes(ctx))(t); b < 1<<20 {
		t.Errorf("database bytes: %d", b)
	}
	if err := n.in.InitDB(ctx, InitOptions{}); err == nil {
		t.Error("initdb over a data directory was not refused")
	}
}

// checkAccess tries the doors of pg_hba from the network.
func checkAccess(t *testing.T, n *node) {
	n.exec(t, `CREATE ROLE app LOGIN`)
	n.exec(t, `CREATE ROLE n2 LOGIN`)
	dial := func(user, db, cert, sslmode, extra string) error {
		text := "host=127.0.0.1 port=" + n.text(t, "SHOW port") + " user=" + user + " dbname=" + db + " sslmode=" + sslmode + " " + extra
		if sslmode != "disable" {
			text += " sslrootcert=" + n.ca.file("ca.crt")
		}
		if cert != "" {
			text += " sslcert=" + n.ca.file(cert+".crt") + " sslkey=" + n.ca.file(cert+".key")
		}
		conn, err := pgx.Connect(testContext(t), text)
		if err == nil {
			closeSoon(conn)
		}
		return err
	}
	cases := []struct {
		name, user, db, cert, sslmode, extra string
		refusal                              string // "" means let in
	}{
		{"application by certificate", "app", "postgres", "app", "verify-full", "", ""},
		{"application without TLS", "app", "postgres", "", "disable", "", "pg_hba.conf rejects"},
		{"application with another's certificate", "app", "postgres", "n2", "verify-full", "", "certificate authentication failed"},
		{"rewind role by node certificate", RoleRewind, "postgres", "n2", "verify-full", "", ""},
		{"rewind role to another database", RoleRewind, "template1", "n2", "verify-full", "", "pg_hba.conf rejects"},
		{"rewind role by application certificate", RoleRewind, "postgres", "app", "verify-full", "", "certificate authentication failed"},
		{"pooler by its certificate", RolePooler, "postgres", "app1", "verify-full", "", ""},
		{"pooler by a witness's certificate", RolePooler, "postgres", "witness", "verify-full", "", ""},
		{"pooler by that of a pooler named like a member", RolePooler, "postgres", "like-n2", "verify-full", "", "certificate authentication failed"},
		{"pooler to another database", RolePooler, "template1", "app1", "verify-full", "", "pg_hba.conf rejects"},
		{"pooler by a node's certificate that is none", RolePooler, "postgres", "n2", "verify-full", "", "certificate authentication failed"},
		{"pooler by application certificate", RolePooler, "postgres", "app", "verify-full", "", "certificate authentication failed"},
		{"pooler without TLS", RolePooler, "postgres", "", "disable", "", "pg_hba.conf rejects"},
		{"replicator by a pooler's certificate", RoleReplicator, "postgres", "app1", "verify-full", "replication=yes", "certificate authentication failed"},
		{"replicator by that of a pooler named like a member", RoleReplicator, "postgres", "like-n2", "verify-full", "replication=yes", "certificate authentication failed"},
		{"rewind role by a pooler's certificate", RoleRewind, "postgres", "app1", "verify-full", "", "certificate authentication failed"},
		{"pooler replicates", RolePooler, "postgres", "app1", "verify-full", "replication=yes", "pg_hba.conf rejects"},
		{"replicator by node certificate", RoleReplicator, "postgres", "n2", "verify-full", "replication=yes", ""},
		{"replicator by application certificate", RoleReplicator, "postgres", "app", "verify-full", "replication=yes", "certificate authentication failed"},
		{"replicator without TLS", RoleReplicator, "postgres", "", "disable", "replication=yes", "pg_hba.conf rejects"},
		{"replicator to a database", RoleReplicator, "postgres", "n2", "verify-full", "", "pg_hba.conf rejects"},
		{"superuser over TCP", "postgres", "postgres", "n2", "verify-full", "", "pg_hba.conf rejects"},
		{"superuser replication over TCP", "postgres", "postgres", "n2", "verify-full", "replication=yes", "pg_hba.conf rejects"},
		{"application replication", "app", "postgres", "app", "verify-full", "replication=yes", "pg_hba.conf rejects"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := dial(c.user, c.db, c.cert, c.sslmode, c.extra)
			switch {
			case c.refusal == "" && err != nil:
				t.Errorf("not let in: %v", err)
			case c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)):
				t.Errorf("want a refusal with %q, got %v", c.refusal, err)
			}
		})
	}
}

func checkCloneRefusals(t *testing.T, n1, n2 *node) {
	ctx := testContext(t)
	o := BackupOptions{Source: n1.asSource("n2"), Instance: n2.in, Mark: Mark{"cluster", "n2", "1"}}
	held := must(lockClone(ctx, o.Source))(t)
	if err := BaseBackup(ctx, o, nil); !errors.Is(err, ErrCloneBusy) {
		t.Errorf("beside another clone: %v", err)
	}
	closeSoon(held)
	o.ReserveBytes = 1 << 60
	var space *ErrNoSpace
	if err := awaitUnlocked(t, func() error { return BaseBackup(ctx, o, nil) }); !errors.As(err, &space) || space.Need < 1<<60 {
		t.Errorf("without space: %v", err)
	}
	o.ReserveBytes = 0
	cut, cancel := context.WithCancel(ctx)
	err := awaitUnlocked(t, func() error {
		return BaseBackup(cut, o, func(p Progress) { cancel() })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cut off: %v", err)
	}
	for _, dir := range []string{n2.in.DataDir, n2.in.DataDir + ".clone", n2.in.WalDir + ".clone"} {
		if there, err := exists(dir); there || err != nil {
			t.Errorf("%s is there after refusals (%v)", dir, err)
		}
	}
	if err := InstallClone(n2.in); err == nil {
		t.Error("installing no clone was not refused")
	}
}

// awaitUnlocked repeats f while the server has not yet noticed that the holder of
// the clone lock is gone.
func awaitUnlocked(t *testing.T, f func() error) error {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		err := f()
		if !errors.Is(err, ErrCloneBusy) {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}

func clone(t *testing.T, from, to *node) {
	t.Helper()
	ctx := testContext(t)
	var last Progress
	o := BackupOptions{Source: from.asSource(to.name), Instance: to.in, Slot: spec.SlotName(to.name),
		Mark: Mark{"cluster", to.name, must(ReadControl(from.in.DataDir))(t).SystemID}}
	check(t, awaitUnlocked(t, func() error {
		return BaseBackup(ctx, o, func(p Progress) {
			if p.TotalBytes > 0 {
				last = p
			}
		})
	}))
	if last.DoneBytes < 1<<20 || last.DoneBytes > last.TotalBytes {
		t.Errorf("last progress: %+v", last)
	}
	if ready := must(CloneReady(to.in))(t); !ready {
		t.Error("the clone is not ready")
	}
	check(t, FinishClone(to.in)) // must not install what nobody asked to install
	if ready := must(CloneReady(to.in))(t); !ready {
		t.Fatal("FinishClone touched a clone that was not being installed")
	}
	check(t, InstallClone(to.in))
	to.configure(t)
	check(t, TestConfig(ctx, to.in))
	to.start(t)
}

func checkStreaming(t *testing.T, n1, n2 *node) {
	ctx := testContext(t)
	_, _, mark, err := DataState(n2.in)
	check(t, err)
	if mark == nil || mark.Member != "n2" {
		t.Errorf("mark of the clone: %+v", mark)
	}
	n1.exec(t, "CREATE TABLE public.t (n int)")
	n1.exec(t, "INSERT INTO public.t SELECT generate_series(1, 1000)")
	p := must(n1.db.Facts(ctx))(t)
	f := n2.await(t, "to have received and replayed all", func(f Facts) bool {
		return f.ReplayLSN >= p.FlushLSN && f.ReplayAtEnd && f.Receiver != nil
	})
	r := f.Receiver
	if !f.InRecovery || f.Timeline != 1 || f.SystemID != p.SystemID || r.Status != "streaming" ||
		r.SenderHost != "127.0.0.1" || r.SenderPort != n1.in.Port || r.SlotName != "pgherd_n2" || f.ReplayPaused {
		t.Errorf("facts of a standby: %+v %+v", f, r)
	}
	if f.Held().LSN < p.FlushLSN {
		t.Errorf("held %s < flushed %s", f.Held(), p.FlushLSN)
	}
	p = n1.await(t, "to see its standby", func(p Facts) bool { return len(p.Senders) == 1 && p.Senders[0].FlushLSN >= f.ReplayLSN })
	s := p.Senders[0]
	if s.ApplicationName != "n2" || s.State != "streaming" || s.SyncState != "async" || s.User != RoleReplicator {
		t.Errorf("sender: %+v", s)
	}
	if len(p.Slots) != 1 || p.Slots[0].Name != "pgherd_n2" || !p.Slots[0].Active || !p.Slots[0].Physical || p.Slots[0].WalStatus != "reserved" {
		t.Errorf("slots: %+v", p.Slots)
	}
}

// checkReceiverStopped: with primary_conninfo = ” the receiver ends, and the facts
// still tell how far the WAL reaches and that all of it was replayed.
func checkReceiverStopped(t *testing.T, n1, n2 *node) {
	ctx := testContext(t)
	n2.source = nil
	n2.configure(t)
	check(t, n2.db.Reload(ctx))
	f := n2.await(t, "to stop its receiver", func(f Facts) bool { return f.Receiver == nil && f.ReplayAtEnd })
	if f.Setting("primary_conninfo") != "" || f.Timeline != 1 {
		t.Errorf("facts without receiver: %+v", f)
	}
	if p := must(n1.db.Facts(ctx))(t); len(p.Senders) != 0 {
		t.Errorf("senders: %+v", p.Senders)
	}
	n2.params["max_connections"] = "40"
	n2.configure(t)
	check(t, n2.db.Reload(ctx))
	f = n2.await(t, "to know of a due restart", func(f Facts) bool { return len(f.PendingRestart) > 0 })
	if f.PendingRestart[0] != "max_connections" || f.Setting("max_connections") != "30" {
		t.Errorf("pending %v, max_connections %s", f.PendingRestart, f.Setting("max_connections"))
	}
	n2.source = n1
	n2.configure(t)
	check(t, n2.db.Reload(ctx))
	n2.await(t, "to stream again", func(f Facts) bool { return f.Receiver != nil && f.Receiver.Status == "streaming" })
}

// checkRewind promotes n2, lets n1 diverge, crash, and come back behind n2.
func checkRewind(t *testing.T, n1, n2 *node) {
	ctx := testContext(t)
	check(t, n2.db.Promote(ctx))
	p := n2.await(t, "to be primary", func(f Facts) bool { return !f.InRecovery })
	if p.Timeline != 2 {
		t.Errorf("timeline after promotion: %d", p.Timeline)
	}
	n1.exec(t, "INSERT INTO public.t SELECT generate_series(1, 5000)") // exists only here
	n1.crash(t)
	if c := must(ReadControl(n1.in.DataDir))(t); c.State != StateInProduction {
		t.Errorf("state after a crash: %s", c.State)
	}
	history := must(History(n2.in.DataDir, 2))(t)
	if len(history) != 1 || history[0].Timeline != 1 || history[0].LSN == 0 {
		t.Fatalf("history: %v", history)
	}
	control := must(ReadControl(n1.in.DataDir))(t)
	if last := must(LastRecord(ctx, n1.in, control.Checkpoint, 1))(t); last < history[0].LSN {
		t.Errorf("n1 diverged, but its last record %s is before the fork %s", last, history[0].LSN)
	}
	o := RewindOptions{Source: n2.asSource("n1"), Instance: n1.in, Mark: Mark{"cluster", "n1", p.SystemID}}
	awaitCheckpointed(t, n2, o)
	var lines []string
	result, err := Rewind(ctx, o, func(line string) { lines = append(lines, line) })
	check(t, err)
	if !result.Needed || len(lines) == 0 || !strings.Contains(result.Output, "Done!") {
		t.Errorf("result %+v, lines %q", result, lines)
	}
	if m := must(ReadMark(n1.in))(t); m.Member != "n1" {
		t.Errorf("mark after rewind: %+v", m)
	}
	check(t, n2.db.CreateSlot(ctx, spec.SlotName("n1")))
	n1.source, n2.source = n2, nil
	n1.configure(t)
	n1.params["max_connections"] = "40"
	n1.configure(t)
	n1.start(t)
	f := n1.await(t, "to stream on timeline 2", func(f Facts) bool {
		return f.InRecovery && f.Timeline == 2 && f.Receiver != nil && f.Receiver.Status == "streaming" && f.ReplayAtEnd
	})
	if f.Receiver.SenderPort != n2.in.Port {
		t.Errorf("receiver: %+v", f.Receiver)
	}
	if got := n1.text(t, "SELECT count(*)::text FROM public.t"); got != "1000" {
		t.Errorf("rows after rewind: %s", got)
	}
	n1.stop(t)
	result, err = Rewind(ctx, o, nil)
	check(t, err)
	if result.Needed {
		t.Errorf("a standby that followed needed a rewind: %+v", result)
	}
}

// awaitCheckpointed: before the promoted server's first checkpoint the rewind must
// be refused for now, after it not. Whether that checkpoint has already happened by
// itself is PostgreSQL's affair, so the refusal is only checked when it comes.
func awaitCheckpointed(t *testing.T, source *node, o RewindOptions) {
	t.Helper()
	ctx := testContext(t)
	if err := checkRewindSource(ctx, o.Source); err != nil && !errors.Is(err, ErrSourceNotReady) {
		t.Fatal(err)
	}
	check(t, source.db.Checkpoint(ctx))
	check(t, checkRewindSource(ctx, o.Source))
}

// checkCloneOver clones n1 (stopped) from n2 over its old data, which is set aside.
func checkCloneOver(t *testing.T, n1, n2 *node) {
	check(t, os.WriteFile(rewindingFile(n1.in), nil, 0o600)) // as if a rewind had been interrupted
	var impossible *RewindImpossibleError
	if _, err := Rewind(testContext(t), RewindOptions{Source: n2.asSource("n1"), Instance: n1.in}, nil); !errors.As(err, &impossible) {
		t.Errorf("rewind after an interrupted one: %v", err)
	}
	clone(t, n2, n1)
	n1.await(t, "to stream", func(f Facts) bool { return f.Receiver != nil && f.Receiver.Status == "streaming" && f.Timeline == 2 })
	if pending := must(RewindPending(n1.in))(t); pending {
		t.Error("the rewind is still pending after a clone")
	}
	stamps := must(AsideStamps(n1.in))(t)
	if len(stamps) != 1 {
		t.Fatalf("set aside: %v", stamps)
	}
	old := n1.in.DataDir + ".aside-" + stamps[0]
	if link := must(os.Readlink(filepath.Join(old, "pg_wal")))(t); link != n1.in.WalDir+".aside-"+stamps[0] {
		t.Errorf("pg_wal of the old directory: %s", link)
	}
	if c := must(ReadControl(old))(t); c.State != StateShutDownInRecovery {
		t.Errorf("old control file: %s", c.State)
	}
	if n := AsideBytes(n1.in, stamps[0]); n < 20<<20 {
		t.Errorf("what was set aside has %d bytes", n)
	}
	check(t, RemoveAside(n1.in, stamps[0]))
	check(t, RemoveAside(n1.in, stamps[0]))
	if left := must(AsideStamps(n1.in))(t); len(left) != 0 {
		t.Errorf("still set aside: %v", left)
	}
	check(t, SweepAside(n1.in))
	if gone := must(filepath.Glob(n1.in.DataDir + ".removing*"))(t); len(gone) != 0 {
		t.Errorf("not deleted: %v", gone)
	}
	if there, err := exists(old); there || err != nil {
		t.Errorf("%s is still there (%v)", old, err)
	}
}

// TestLastRecord: pg_waldump's answer agrees with the server about where WAL ends.
func TestLastRecord(t *testing.T) {
	ctx := testContext(t)
	n := newPrimary(t, newCA(t), "n1", false)
	n.exec(t, "CREATE TABLE public.t (n text)")
	for range 3 { // several segments, and one ended early
		n.exec(t, "INSERT INTO public.t SELECT repeat('x', 100) FROM generate_series(1, 10000)")
		n.exec(t, "SELECT pg_switch_wal()")
	}
	n.exec(t, "INSERT INTO public.t VALUES ('last')")
	f := must(n.db.Facts(ctx))(t)
	n.crash(t)
	control := must(ReadControl(n.in.DataDir))(t)
	last := must(LastRecord(ctx, n.in, control.Checkpoint, 1))(t)
	if last >= f.InsertLSN || f.InsertLSN.Sub(last) > 8192 {
		t.Errorf("last record %s, insert position was %s", last, f.InsertLSN)
	}
	again := must(LastRecord(ctx, n.in, last, 1))(t)
	if again != last {
		t.Errorf("from the last record itself: %s, want %s", again, last)
	}
	if _, err := LastRecord(ctx, n.in, f.InsertLSN+1<<30, 1); err == nil {
		t.Error("a place without WAL gave no error")
	}
	oldest, tl, err := OldestSegment(n.in.DataDir)
	check(t, err)
	if tl != 1 || oldest == 0 || oldest > control.Redo || oldest%(1<<20) != 0 {
		t.Errorf("oldest segment: %s on %d", oldest, tl)
	}
	if disk := must(TimelineOnDisk(n.in.DataDir, last))(t); disk != 1 {
		t.Errorf("timeline on disk: %d", disk)
	}
	n.start(t)
	n.stop(t)
	control = must(ReadControl(n.in.DataDir))(t)
	if control.State != StateShutDown || !control.CleanShutdown() {
		t.Errorf("after a fast shutdown: %+v", control)
	}
	if last := must(LastRecord(ctx, n.in, control.Checkpoint, 1))(t); last != control.Checkpoint {
		t.Errorf("after a clean shutdown the last record is %s, want the checkpoint %s", last, control.Checkpoint)
	}
}

// TestConfigBroken: PostgreSQL's own words about a user's broken include come out.
func TestConfigBroken(t *testing.T) {
	ctx := testContext(t)
	n := newNode(t, newCA(t), "n1", false)
	check(t, n.in.InitDB(ctx, InitOptions{NoSync: true}))
	check(t, EnsureInclude(n.in))
	n.configure(t)
	check(t, TestConfig(ctx, n.in))
	main := string(must(os.ReadFile(n.in.path("postgresql.conf")))(t))
	if got := strings.Count(main, "include 'pgherd.conf'"); got != 1 {
		t.Errorf("%d include lines", got)
	}
	check(t, os.WriteFile(n.in.path("mine.conf"), []byte("work_mem = 'many'\n"), 0o600))
	check(t, os.WriteFile(n.in.path("postgresql.conf"), []byte(main+"include 'mine.conf'\n"), 0o600))
	var refused *ConfigError
	if err := TestConfig(ctx, n.in); !errors.As(err, &refused) || !strings.Contains(refused.Text, "work_mem") {
		t.Errorf("broken include: %v", err)
	}
	check(t, os.WriteFile(n.in.path("mine.conf"), []byte("no_such_parameter = 1\n"), 0o600))
	if err := TestConfig(ctx, n.in); !errors.As(err, &refused) || !strings.Contains(refused.Text, "no_such_parameter") {
		t.Errorf("unknown parameter: %v", err)
	}
}

// TestProgramsDieWithContext: ending ctx kills a program and what it forked, and
// says why.
func TestProgramsDieWithContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(testContext(t))
	reason := errors.New("enough")
	var child string
	cmd := command(ctx, "/bin/sh", "-c", "sleep 600 & echo $! >&2; wait")
	_, err := run(ctx, cmd, func(line string) { child = line; cancel(reason) })
	if !errors.Is(err, reason) {
		t.Errorf("error: %v", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for ; ; time.Sleep(time.Millisecond) { // an ending process has closed its files before it is gone
		stat, err := os.ReadFile("/proc/" + child + "/stat")
		if child != "" && (err != nil || strings.Contains(string(stat), ") Z ")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the forked process %q lives on: %s", child, stat)
		}
	}
}
