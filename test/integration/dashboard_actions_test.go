package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/jackc/pgx/v5"
)

// Parts of TestDashboard: what an operator does through the page, and how the page shows what comes of it.

// confirmed does what a button with that name asks for.
func (b *browser) confirmed(action string) {
	b.t.Helper()
	b.click("[data-action=" + quote(action) + "]")
	b.click("#confirm")
	b.see("#done")
	b.closed()
}

// closed closes the dialog.
func (b *browser) closed() {
	b.t.Helper()
	b.key(kb.Escape)
	b.gone("dialog")
}

func (b *browser) mayConfirm() bool {
	b.t.Helper()
	return !js[bool](b, "document.querySelector('#confirm').disabled")
}

// shows waits until a member is shown so.
func (b *browser) shows(m *member, role, state string) {
	b.t.Helper()
	b.until(60*time.Second, m.name+" as a "+state+" "+role, fmt.Sprintf("!!document.querySelector('[data-member=%s][data-role=%s][data-state=%s]')", m.name, role, state))
}

// notePhases notes how far operations come, as ID and phase.
func (b *browser) notePhases() {
	b.t.Helper()
	b.note("(() => { const e = document.querySelector('.operation'); return e && e.dataset.id + ' ' + e.dataset.phase })()")
}

// phasesOf are those that were noted. They must be in the order in which an operation has them.
func (b *browser) phasesOf(op operation) (phases []string) {
	b.t.Helper()
	for _, line := range b.noted() {
		if phase, ok := strings.CutPrefix(line, op.ID+" "); ok {
			phases = append(phases, phase)
		}
	}
	order := []string{"requested", "holding", "stopping", "done"}
	for i, phase := range phases {
		if !slices.Contains(order, phase) || i > 0 && slices.Index(order, phases[i-1]) >= slices.Index(order, phase) {
			b.t.Errorf("the phases of %s were shown as %v", op.Kind, phases)
		}
	}
	b.t.Logf("shown phases of the %s: %v", op.Kind, phases)
	return phases
}

// operatorSwitchesOver: checks first, then the handover, and its certificate.
func operatorSwitchesOver(t *testing.T, c *cluster, b *browser, at *member) {
	old := c.waitRouted()
	to := c.others(old)[0]
	b.logout()
	b.login(at, "otto", "operator")
	b.until(20*time.Second, "an action", "!!document.querySelector('[data-action=\"switchover "+to.name+"\"]')")
	b.click(`[data-action="switchover ` + to.name + `"]`)
	if b.mayConfirm() {
		t.Error("it can be done before the checks were seen")
	}
	b.click("#check")
	b.see("#check-result[data-phase=done] li[data-ok=true]")
	b.picture("dashboard-switchover")
	b.notePhases()
	b.click("#confirm")
	b.see("#done")
	b.shows(to, "primary", "running")
	b.until(60*time.Second, "the operation's end", "document.querySelector('.operation').dataset.phase === 'done'")
	c.waitRouted()
	op := c.operation()
	if !strings.HasPrefix(op.By, "otto (token ") {
		t.Errorf("the operation is by %q", op.By)
	}
	if phases := b.phasesOf(op); !slices.Contains(phases, "requested") || !slices.Contains(phases, "done") {
		t.Errorf("not all of it was shown: %v", phases)
	}
	b.closed()
	b.agrees(c)
}

// phasesAreFollowed: an open transaction keeps the switchover, which another one asked for, from going on, and the page says where it stands.
func phasesAreFollowed(t *testing.T, c *cluster, b *browser, at *member) {
	old := c.waitRouted()
	tx, err := old.web(old.rw, "shop").Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b.notePhases()
	ended := make(chan answer, 1)
	go func() { ended <- old.try("switchover", c.others(old)[0].name, "--max-wait", "18s") }()
	b.until(40*time.Second, "clients that are held", "document.querySelector('.operation[data-phase=holding] [aria-current=step]')?.textContent === 'holding'")
	op := c.operation()
	if shown := js[string](b, "document.querySelector('.operation').dataset.id"); op.Phase != "holding" || shown != op.ID {
		t.Errorf("shown is %s; the operation is %+v", shown, op)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Errorf("a held client: %v", err)
	}
	if a := <-ended; a.code != 0 {
		t.Errorf("switchover: %s", a)
	}
	b.until(20*time.Second, "its end", "document.querySelector('.operation').dataset.phase === 'done'")
	if phases := b.phasesOf(op); !slices.Contains(phases, "requested") || !slices.Contains(phases, "holding") {
		t.Errorf("not all of it was shown: %v", phases)
	}
	c.waitRouted()
	b.agrees(c)
}

// lagIsShown: a standby whose WAL receiver stands still falls behind. Its edge says by how much, and nobody can hand over to it.
func lagIsShown(t *testing.T, c *cluster, b *browser, at *member) {
	p := c.waitRouted()
	late := c.others(p)[0]
	defer late.freezeReceiver()()
	c.exec(p, "SELECT pg_logical_emit_message(true, 'late', repeat('x', 20000000))") // beyond max_lag_bytes
	c.wait(20*time.Second, "lags as the API says", func() bool {
		s := c.status()
		for _, m := range s.Members {
			if m.Role == "standby" && (m.State != "streaming" || m.LagBytes == nil || !b.tellsLag(m)) {
				return false
			}
		}
		return *s.member(late.name).LagBytes > 18_000_000
	})
	refusesWhoLags(t, c, b, p, late)
}

// freezeReceiver stops the process that receives WAL, and gives the way back.
func (m *member) freezeReceiver() (thaw func()) {
	m.c.t.Helper()
	for _, p := range m.c.processes(m) {
		if strings.Contains(p.title, "walreceiver") {
			if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil {
				m.c.t.Fatal(err)
			}
			return func() { _ = syscall.Kill(p.pid, syscall.SIGCONT) }
		}
	}
	m.c.t.Fatalf("%s receives no WAL", m.name)
	return nil
}

// tellsLag: at the edge and in the table stands what the member's status says, as near as two digits and a moment allow.
func (b *browser) tellsLag(m memberStatus) bool {
	b.t.Helper()
	shown := js[[]string](b, fmt.Sprintf("['.edge[data-edge=%s] text', '[data-row=%s] [data-label=Lag]'].map((q) => document.querySelector(q)?.textContent ?? '')", m.Name, m.Name))
	for _, text := range shown {
		off := readBytes(strings.TrimPrefix(text, "lag ")) - float64(*m.LagBytes)
		if !(max(off, -off) <= 10_000+float64(*m.LagBytes)/15) {
			return false
		}
	}
	return true
}

// readBytes reads a size as the page writes it; what is none is nearer to no size than any.
func readBytes(text string) float64 {
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseFloat(number, 64)
	factor, known := map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
	switch {
	case text == "no lag":
		return 0
	case err != nil || !known:
		return -1e18
	}
	return n * factor
}

// refusesWhoLags: the check that fails is shown with its reason as the operation has it, and there is nothing to confirm.
func refusesWhoLags(t *testing.T, c *cluster, b *browser, p, late *member) {
	term, pid := c.lease().Term, p.pid("postmaster")
	b.click("[data-action=switchover]")
	b.choose("dialog select", late.name)
	b.click("#check")
	b.see("#check-result[data-phase=aborted] li[data-ok=false]")
	shown := js[[]string](b, "[...document.querySelectorAll('#check-result li')].map((e) => e.dataset.ok + ' ' + e.lastElementChild.textContent)")
	op := c.operation()
	var should []string
	for _, x := range op.Checks {
		should = append(should, fmt.Sprintf("%v %s %s: %s", x.OK, x.Member, strings.ReplaceAll(x.Check, "_", " "), x.Text))
	}
	if len(should) == 0 || !slices.Equal(shown, should) {
		t.Errorf("shown are %q, the checks were %q", shown, should)
	}
	if text := js[string](b, "document.querySelector('#check-result > p').textContent"); op.Text == "" || !strings.Contains(text, op.Text) {
		t.Errorf("the result is shown as %q, and is %q", text, op.Text)
	}
	if b.mayConfirm() {
		t.Error("it can be done although a check failed")
	}
	b.choose("dialog select", c.others(p)[1].name) // what was checked is not whom it would be now
	b.gone("#check-result")
	if b.mayConfirm() {
		t.Error("it can be done by the checks of another member")
	}
	b.closed()
	if now := c.lease(); now.Term != term || now.Holder != p.name || p.pid("postmaster") != pid || c.operation().ID != op.ID {
		t.Errorf("something was done: %+v, %+v", now, c.operation())
	}
}

// operatorRestarts a standby, without a mouse.
func operatorRestarts(t *testing.T, c *cluster, b *browser, at *member) {
	m := c.others(c.waitRouted())[0]
	pid, before := m.pid("postmaster"), c.operation().ID
	b.tabTo(`[data-action="restart ` + m.name + `"]`)
	b.key(kb.Enter)
	b.see("dialog[open]")
	b.tabTo("#confirm")
	if title := js[string](b, "document.querySelector('#dialog-title').textContent"); !strings.Contains(title, m.name) {
		t.Errorf("it asks: %s", title)
	}
	if c.operation().ID != before {
		t.Error("it has begun without a confirmation")
	}
	b.notePhases()
	b.key(kb.Enter)
	b.see("#done")
	b.until(60*time.Second, "its end", "(() => { const e = document.querySelector('.operation'); return e.dataset.phase === 'done' && e.dataset.id !== "+quote(before)+" && e.textContent.includes('Restart') })()")
	op := c.operation()
	if shown := js[string](b, "document.querySelector('.operation').dataset.id"); shown != op.ID || op.Kind != "restart" || !strings.HasPrefix(op.By, "otto (token ") {
		t.Errorf("shown is %s; the operation is %+v", shown, op)
	}
	if phases := b.phasesOf(op); !slices.Equal(phases, []string{"requested", "done"}) {
		t.Errorf("not all of it was shown: %v", phases)
	}
	if now := m.pid("postmaster"); now == 0 || now == pid {
		t.Errorf("the postmaster of %s is %d, and was %d", m.name, now, pid)
	}
	b.closed()
	b.shows(m, "standby", "streaming")
	c.waitRouted()
	b.agrees(c)
}

// operatorReinits a standby: its name has to be typed, its clone is followed, and it has new data.
func operatorReinits(t *testing.T, c *cluster, b *browser, at *member) {
	p := c.waitRouted()
	m, other := c.others(p)[0], c.others(p)[1]
	pid := m.pid("postmaster")
	data, err := os.Stat(m.data())
	if err != nil {
		t.Fatal(err)
	}
	release := c.holdClones(p)
	b.click(`[data-action="reinit ` + m.name + `"]`)
	b.see("dialog .typed input")
	last := m.name[len(m.name)-1:]
	for _, step := range []struct {
		keys string
		may  bool
	}{{"", false}, {other.name, false}, {kb.Backspace + last, true}, {"0", false}, {kb.Backspace, true}} {
		b.types("dialog .typed input", step.keys)
		if now := b.mayConfirm(); now != step.may {
			t.Errorf("with %q it can be done: %v", js[string](b, "document.querySelector('dialog .typed input').value"), now)
		}
	}
	b.click("#confirm")
	b.see("#done")
	b.closed()
	b.showsClone(c, m)
	release()
	c.wait(60*time.Second, "a new data directory", func() bool {
		now, err := os.Stat(m.data())
		return err == nil && !os.SameFile(data, now)
	})
	b.shows(m, "standby", "streaming")
	b.gone(".job")
	c.waitRouted()
	if now := m.pid("postmaster"); now == pid {
		t.Error("the postmaster is still the old one")
	}
	c.exec(p, "CREATE TABLE after_reinit AS SELECT 'new' AS data")
	c.wait(20*time.Second, "what was written after it", func() bool {
		v, err := c.query(m, "SELECT data FROM after_reinit")
		return err == nil && v == "new"
	})
	b.agrees(c)
}

// showsClone: while it waits for its turn, it is shown as the API says.
func (b *browser) showsClone(c *cluster, m *member) {
	b.t.Helper()
	b.shows(m, "standby", "cloning")
	b.until(20*time.Second, "its progress", "[...document.querySelectorAll('.job')].some((e) => e.textContent.includes('cloned by another member') && e.querySelector('progress').value === 0)")
	job := js[string](b, "document.querySelector('.job').textContent")
	if s := c.status().member(m.name); s.State != "cloning" || job != m.name+" cloning: "+s.Progress {
		b.t.Errorf("shown is %q, and it is %s, %q", job, s.State, s.Progress)
	}
}

// holdClones has the source clone for somebody else, as each member sees it, until it is released: clones here are too short to be looked at.
func (c *cluster) holdClones(source *member) (release func()) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	config, err := pgx.ParseConfig(dsn("any", source))
	if err != nil {
		c.t.Fatal(err)
	}
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		c.t.Cleanup(func() { _ = conn.Close(context.Background()) })
		_, err = conn.Exec(ctx, "SELECT pg_advisory_lock(7046733, 1)") // as in internal/postgres/basebackup.go
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return func() { _ = conn.Close(context.Background()) }
}

// operatorDrains and takes it back. Between, nobody can switch over to who is drained.
func operatorDrains(t *testing.T, c *cluster, b *browser, at *member) {
	target := c.others(c.waitRouted())[0].name
	shown := func(drained bool) {
		b.until(20*time.Second, "drained or not", "document.querySelector('[data-row="+target+"]').textContent.includes('drained') === "+jsonText(drained))
		b.agrees(c)
		if now := c.status().member(target).Drained; now != drained {
			t.Errorf("%s is drained: %v", target, now)
		}
	}
	b.confirmed("drain " + target)
	shown(true)
	b.click("[data-action=switchover]")
	b.choose("dialog select", target)
	b.click("#check")
	b.see("[data-code=drained]")
	if text := js[string](b, "document.querySelector('[data-code=drained]').textContent"); !strings.Contains(text, "pgherd undrain "+target) || b.mayConfirm() {
		t.Errorf("it says: %s", text)
	}
	b.closed()
	b.confirmed("undrain " + target)
	shown(false)
}

// operatorPauses and resumes. Between, the page says so, and the API's refusal of everything else is shown.
func operatorPauses(t *testing.T, c *cluster, b *browser, at *member) {
	p := c.waitRouted()
	b.confirmed("pause")
	b.see("#conditions [data-code=paused]")
	b.see("#headline.warning")
	b.agrees(c)
	if !c.status().Paused {
		t.Error("it is not paused")
	}
	pid := p.pid("postmaster")
	b.click(`[data-action="restart ` + p.name + `"]`)
	b.click("#confirm")
	b.see("dialog [data-code=paused]")
	b.closed()
	b.confirmed("resume")
	b.gone("#conditions [data-code=paused]")
	b.agrees(c)
	if c.status().Paused || p.pid("postmaster") != pid {
		t.Errorf("paused: %v; the postmaster was %d, and is %d", c.status().Paused, pid, p.pid("postmaster"))
	}
}

// operatorCancels what is planned.
func operatorCancels(t *testing.T, c *cluster, b *browser, at *member) {
	c.waitRouted()
	before := c.lease()
	at.do("switchover", "--at", time.Now().UTC().Add(time.Hour).Format(time.RFC3339))
	plan := c.operation()
	b.until(20*time.Second, "the plan", "document.querySelector('.operation').dataset.phase === 'scheduled' && document.querySelector('.operation').dataset.id === "+quote(plan.ID))
	when := js[string](b, fmt.Sprintf("new Date(%d).toLocaleString([], {hour12: false})", plan.AtMS))
	if text := js[string](b, "document.querySelector('.operation').textContent"); plan.AtMS == 0 || !strings.Contains(text, "Planned for "+when) {
		t.Errorf("it is planned for %s, and the page says: %s", when, text)
	}
	b.confirmed("cancel")
	b.until(20*time.Second, "a plan that was taken back", "document.querySelector('.operation').dataset.phase === 'aborted' && !document.querySelector('[data-action=cancel]')")
	op := c.operation()
	if text := js[string](b, "document.querySelector('.operation').textContent"); op.ID != plan.ID || op.Phase != "aborted" || !strings.Contains(op.Text, "otto") || !strings.Contains(text, op.Text) {
		t.Errorf("the operation is %+v, and the page says: %s", op, text)
	}
	if now := c.lease(); now.Holder != before.Holder || now.Term != before.Term {
		t.Errorf("%s leads term %d, and %s led term %d", now.Holder, now.Term, before.Holder, before.Term)
	}
	b.agrees(c)
}
