package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The targets of the dashboard. They are for a machine of its own; the test allows for one that is shared.
const (
	paintTarget = time.Second
	eventTarget = 300 * time.Millisecond
	sharedBy    = 4
)

// TestDashboard looks at one cluster through one browser, as a person would.
func TestDashboard(t *testing.T) {
	c := newCluster(t)
	c.upWithEndpoints(3)
	b := newBrowser(t)
	at := c.others(c.waitRouted())[0] // a standby serves the page: it is there when the primary dies
	for _, part := range []struct {
		name string
		run  func(*testing.T, *cluster, *browser, *member)
	}{
		{"login", loginIsAsked},
		{"what is shown is what the API says", shownIsSo},
		{"keyboard", worksByKeyboard},
		{"theme", themeIsKept},
		{"viewer is refused", viewerIsRefused},
		{"what if", whatIfIsAsked},
		{"phone", fitsAPhone},
		{"failover is followed", failoverIsFollowed},
		{"stale", saysThatItIsStale},
		{"operator switches over", operatorSwitchesOver},
		{"phases are followed", phasesAreFollowed},
		{"lag is shown", lagIsShown},
		{"operator restarts", operatorRestarts},
		{"operator reinits", operatorReinits},
		{"operator drains", operatorDrains},
		{"operator pauses", operatorPauses},
		{"operator cancels", operatorCancels},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			c.t, b.t = t, t
			part.run(t, c, b, at)
			b.clean()
		})
		c.t, b.t = t, t
		if !ok {
			return
		}
	}
}

// loginIsAsked: without a token there is nothing to see, a wrong one is refused, and a viewer's opens the page.
func loginIsAsked(t *testing.T, c *cluster, b *browser, at *member) {
	b.open(at)
	b.see("#token")
	t.Logf("first paint of the login: %v (target %v)", b.paint(), paintTarget)
	if text := b.text(); strings.Contains(text, at.name) || strings.Contains(text, "main") {
		t.Errorf("it tells strangers: %s", text)
	}
	b.types("#token", "abcdefghij.wrong\r")
	b.see("[data-code=token_refused]")
	b.login(at, "vera", "viewer")
	if address := js[string](b, "location.href"); address != "https://"+at.apiAt()+"/ui/" {
		t.Errorf("the address is %s", address)
	}
	b.do(chromedp.Reload())
	b.see("#picture svg") // the token is kept for the tab
	paint := b.paint()
	t.Logf("first paint: %v (target %v)", paint, paintTarget)
	if paint > sharedBy*paintTarget {
		t.Errorf("first paint after %v", paint)
	}
}

// paint is from the navigation's start to the first content.
func (b *browser) paint() time.Duration {
	b.t.Helper()
	const entry = "performance.getEntriesByName('first-contentful-paint')[0]"
	b.until(20*time.Second, "a first paint", "!!"+entry)
	return time.Duration(js[float64](b, entry+".startTime") * float64(time.Millisecond)).Round(time.Millisecond)
}

// shownCluster is what stands in the page.
type shownCluster struct {
	Name, Term, Quorum string
	Paused             bool
	Members            map[string]string // in the picture: role and state
	Marks              map[string]string // in the picture: who confirms commits, who votes, who is drained
	Rows               map[string]string // in the table
	Clients            map[string]string
	Edges              map[string]string // who follows somebody, and how
	Conditions         []string
}

const readPage = `(() => {
	const all = (q) => [...document.querySelectorAll(q)];
	const sample = document.body.appendChild(document.createElement('i'));
	sample.style.color = 'var(--accent)';
	const accent = getComputedStyle(sample).color;
	sample.remove();
	const looksLikeOne = (e) => getComputedStyle(e.querySelector('.stripe')).fill === accent;
	const isMark = (word) => ['confirms', 'votes', 'drained'].includes(word); // without any, the position stands there
	const pairs = (q, key, value) => Object.fromEntries(all(q).map((e) => [e.getAttribute(key), value(e)]));
	return {
		Name: document.querySelector('#cluster-name').textContent,
		Term: document.querySelector('#picture .card-head .quiet').textContent,
		Quorum: document.querySelector('#quorum').textContent,
		Paused: document.querySelector('#headline').textContent.includes('Paused'),
		Members: pairs('[data-member]', 'data-member', (e) => e.dataset.role + ' ' + e.dataset.state + (looksLikeOne(e) === (e.dataset.role === 'primary') ? '' : ' in the wrong colour')),
		Marks: pairs('[data-member]', 'data-member', (e) => e.querySelector('text.quiet').textContent.split(' · ').filter(isMark).join(' ')),
		Rows: pairs('[data-row]', 'data-row', (e) => e.children[1].textContent + ' ' + e.children[2].textContent),
		Clients: pairs('[data-pooler]', 'data-pooler', (e) => e.dataset.clients),
		Edges: pairs('.edge:not(.clients)', 'data-edge', (e) => e.classList[1]),
		Conditions: all('#conditions li').map((e) => e.dataset.code).sort(),
	};
})()`

// wanted is what should stand there by the status.
func wanted(s status) shownCluster {
	w := shownCluster{
		Name: s.Cluster, Term: fmt.Sprintf("term %d", s.Term), Quorum: quorumText(s), Paused: s.Paused, Members: map[string]string{}, Marks: map[string]string{},
		Rows: map[string]string{}, Clients: map[string]string{}, Edges: map[string]string{}, Conditions: []string{},
	}
	for _, m := range s.Members {
		w.Members[m.Name], w.Rows[m.Name] = m.Role+" "+m.State, m.Role+" "+m.State
		if m.Drained {
			w.Rows[m.Name] = m.Role + ", drained " + m.State
		}
		var marks []string
		for _, mark := range []struct {
			so   bool
			word string
		}{{slices.Contains(s.Sync.Members, m.Name), "confirms"}, {m.Voter, "votes"}, {m.Drained, "drained"}} {
			if mark.so {
				marks = append(marks, mark.word)
			}
		}
		w.Marks[m.Name] = strings.Join(marks, " ")
		if m.Role == "standby" && m.Follows != "" {
			w.Edges[m.Name] = edgeKind(s, m)
		}
		for _, x := range m.Conditions {
			w.Conditions = append(w.Conditions, x.Code)
		}
	}
	for _, e := range s.Endpoints {
		w.Clients[e.Name] = fmt.Sprint(e.Clients)
	}
	for _, x := range s.Conditions {
		w.Conditions = append(w.Conditions, x.Code)
	}
	slices.Sort(w.Conditions)
	return w
}

func edgeKind(s status, m memberStatus) string {
	switch {
	case m.State != "streaming":
		return "broken"
	case slices.Contains(s.Sync.Members, m.Name):
		return "confirms"
	}
	return "streams"
}

// quorumText says who confirms commits, and who votes.
func quorumText(s status) string {
	text := "Commits are confirmed by the primary alone"
	if len(s.Sync.Members) > 0 && s.Sync.K > 0 {
		text = fmt.Sprintf("A commit is confirmed by the primary and %d of %s", s.Sync.K, strings.Join(s.Sync.Members, ", "))
	}
	var voters []string
	for _, m := range s.Members {
		if m.Voter {
			voters = append(voters, m.Name)
		}
	}
	return fmt.Sprintf("%s. %d voters: %s.", text, len(voters), strings.Join(voters, ", "))
}

// agrees waits until page and API say the same: each is a moment old.
func (b *browser) agrees(c *cluster) {
	b.t.Helper()
	var is, should shownCluster
	agreed := false
	defer func() {
		if !agreed {
			b.t.Logf("shown %s, should be %s", jsonText(is), jsonText(should))
		}
	}()
	c.wait(20*time.Second, "a page that shows what the API says", func() bool {
		before := c.status()
		is = js[shownCluster](b, readPage)
		should = wanted(before)
		agreed = jsonText(is) == jsonText(should) && jsonText(should.Members) == jsonText(wanted(c.status()).Members)
		return agreed
	})
}

func shownIsSo(t *testing.T, c *cluster, b *browser, at *member) {
	l := c.startBehind(c.members...)
	b.until(30*time.Second, "clients at the poolers", "[...document.querySelectorAll('[data-pooler]')].some((e) => e.dataset.clients > 0)")
	b.agrees(c)
	for _, chart := range []string{"lag", "rate", "commit", "sessions"} {
		b.until(30*time.Second, "values of "+chart, "[...document.querySelectorAll('#chart-"+chart+" li')].some((e) => e.dataset.value > 0 || '"+chart+"' === 'lag' && e.dataset.value === '0')")
	}
	events := at.events()
	codes := js[[]string](b, "[...document.querySelectorAll('.events li')].map((e) => e.dataset.code)")
	if newest := events[len(events)-1]; len(codes) == 0 || codes[0] != newest.Code {
		t.Errorf("the newest event is %s, shown are %v", newest.Code, codes)
	}
	b.pictures(c)
	l.end()
}

// pictures are for the documentation.
func (b *browser) pictures(c *cluster) {
	b.filled()
	b.size(1280, 1130, false)
	b.picture("dashboard-light")
	b.theme("dark")
	b.picture("dashboard-dark")
	b.size(360, 780, true)
	b.picture("dashboard-phone")
	b.theme("light")
	b.size(1280, 900, false)
}

// worksByKeyboard opens and closes a member's details without a mouse.
func worksByKeyboard(t *testing.T, c *cluster, b *browser, at *member) {
	name := js[string](b, "(() => { const e = document.querySelector('[data-member]'); e.focus(); return document.activeElement.dataset.member })()")
	b.key(kb.Enter)
	b.see("dialog[open] .reasons li")
	if title := js[string](b, "document.querySelector('#dialog-title').textContent"); !strings.HasPrefix(title, name+":") {
		t.Errorf("%s opens %s", name, title)
	}
	b.key(kb.Escape)
	b.gone("dialog")
	const nameless = `[...document.querySelectorAll('button, input, select, [role=button], [role=img]')].filter((e) =>
		!(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).map((e) => e.outerHTML)`
	if list := js[[]string](b, nameless); len(list) > 0 {
		t.Errorf("without a name for a reader: %v", list)
	}
	seen := map[string]bool{}
	for range 60 {
		b.key(kb.Tab)
		seen[js[string](b, "(document.activeElement.dataset.action || document.activeElement.dataset.member || document.activeElement.id || '')")] = true
	}
	for _, m := range c.members {
		if !seen[m.name] || !seen["restart "+m.name] {
			t.Errorf("Tab does not reach %s and its actions: %v", m.name, seen)
		}
	}
}

// themeIsKept: the button changes the theme, and what was chosen outlasts the page and outweighs the system's.
func themeIsKept(t *testing.T, c *cluster, b *browser, at *member) {
	looks := func(theme string) (ground string) {
		b.until(20*time.Second, "the theme "+theme, "document.documentElement.dataset.theme === "+quote(theme))
		return js[string](b, "getComputedStyle(document.body).backgroundColor")
	}
	again := func() {
		b.do(chromedp.Reload())
		b.see("#picture svg")
	}
	light := looks("light")
	b.click("#theme")
	dark := looks("dark")
	again()
	if now := looks("dark"); now != dark || dark == light {
		t.Errorf("the ground is %s in the light, %s in the dark, and then %s", light, dark, now)
	}
	b.click("#theme")
	looks("light")
	b.prefers("dark")
	again()
	if now := looks("light"); now != light {
		t.Errorf("the ground is %s, and was %s", now, light)
	}
	b.prefers("light")
}

// viewerIsRefused: the API says no, the page says so, and nothing has changed.
func viewerIsRefused(t *testing.T, c *cluster, b *browser, at *member) {
	target := c.others(at)[0].name
	b.click(`[data-action="drain ` + target + `"]`)
	b.click("#confirm")
	b.see("[data-code=forbidden]")
	text := js[string](b, "document.querySelector('[data-code=forbidden]').textContent")
	if !strings.Contains(text, "viewer") || !strings.Contains(text, "operator") {
		t.Errorf("it says: %s", text)
	}
	b.key(kb.Escape)
	b.gone("dialog")
	if a := at.do("status", "--json"); strings.Contains(a, `"drained": true`) {
		t.Error("it was drained all the same")
	}
}

// whatIfIsAsked: the page shows what `pgherd explain --if` says.
func whatIfIsAsked(t *testing.T, c *cluster, b *browser, at *member) {
	leader := c.waitRouted().name
	b.click("#ask")
	b.see(".answers li")
	var said []struct{ If, Leader string }
	if err := json.Unmarshal([]byte(at.do("explain", "--if", "each", "--json")), &said); err != nil {
		t.Fatal(err)
	}
	shown := js[map[string]string](b, "Object.fromEntries([...document.querySelectorAll('.answers > li')].map((e) => [e.dataset.if, e.dataset.leader]))")
	for _, a := range said {
		if got, ok := shown[a.If]; !ok || a.Leader != leader && got == leader || a.Leader == leader && got != leader {
			t.Errorf("if %s: shown %q (%v), should be %q", a.If, got, ok, a.Leader)
		}
	}
	if len(said) != len(shown) || len(said) == 0 {
		t.Errorf("%d answers, %d are shown", len(said), len(shown))
	}
}

// fitsAPhone: nothing is wider than a small phone.
func fitsAPhone(t *testing.T, c *cluster, b *browser, at *member) {
	b.size(360, 740, true)
	b.until(time.Minute, "a picture of that width", "document.querySelector('#picture svg').getBoundingClientRect().width <= 360")
	const wide = `[...document.querySelectorAll('body *')].filter((e) => !e.closest('.uplot') && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 100))`
	look := func(where string) {
		if w := js[int](b, "document.scrollingElement.scrollWidth"); w > 360 {
			t.Errorf("%s: %d pixels wide: %v", where, w, js[[]string](b, wide))
		}
	}
	look("dashboard")
	js[bool](b, "document.querySelector('[data-member]').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
	b.see("dialog[open] .reasons li")
	look("a member's details")
	if list := js[[]string](b, wide); len(list) > 0 {
		t.Errorf("beyond the edge: %v", list)
	}
	b.key(kb.Escape)
	b.gone("dialog")
	b.size(1280, 900, false)
}

// watchEvents notes in the page how old each event is when it gets there.
const watchEvents = `(() => {
	window.notReloaded = true;
	window.ages = [];
	const seen = new Set([...document.querySelectorAll('.events li')].map((e) => e.dataset.at + e.textContent));
	new MutationObserver(() => requestAnimationFrame(() => {
		for (const e of document.querySelectorAll('.events li')) {
			const key = e.dataset.at + e.textContent;
			if (!seen.has(key)) window.ages.push([e.dataset.code, e.querySelector('.who').textContent, Date.now() - Date.parse(e.dataset.at)]);
			seen.add(key);
		}
	})).observe(document.querySelector('.events'), {childList: true, subtree: true});
	return true;
})()`

// failoverIsFollowed: the primary dies, and the page shows it without being loaded again.
func failoverIsFollowed(t *testing.T, c *cluster, b *browser, at *member) {
	old := c.waitRouted()
	js[bool](b, watchEvents)
	c.powerCut(old)
	b.until(60*time.Second, "another primary", "[...document.querySelectorAll('[data-role=primary][data-state=running]')].some((e) => e.dataset.member !== "+quote(old.name)+")")
	b.until(20*time.Second, "the dead member", "document.querySelector('[data-member="+old.name+"]').dataset.state === 'unreachable'")
	b.until(20*time.Second, "its event", "window.ages.some((a) => a[0] === 'leader_changed')")
	b.until(20*time.Second, "its condition", "!!document.querySelector('#conditions [data-code=member_unreachable] .hint')")
	b.agrees(c)
	b.picture("dashboard-failover")
	old.start()
	c.waitRouted()
	b.until(60*time.Second, "the old primary as a standby", "document.querySelector('[data-member="+old.name+"]').dataset.state === 'streaming'")
	b.agrees(c)
	if !js[bool](b, "window.notReloaded") {
		t.Error("the page was loaded again")
	}
	b.howOld(t, at)
}

// howOld judges how soon events of all members were on the page: those of the others are passed on by the one that serves it.
func (b *browser) howOld(t *testing.T, at *member) {
	var own, others []float64
	for _, a := range js[[][]any](b, "window.ages") {
		if who := a[1].(string); who == at.name || who == "cluster" {
			own = append(own, a[2].(float64))
		} else {
			others = append(others, a[2].(float64))
		}
	}
	for who, ages := range map[string][]float64{"the serving member and the cluster": own, "the other members": others} {
		if len(ages) == 0 {
			t.Errorf("no events of %s", who)
			continue
		}
		slices.Sort(ages)
		t.Logf("%d events of %s on the page after %.0f ms (median), %.0f ms (longest); target %v", len(ages), who, ages[len(ages)/2], ages[len(ages)-1], eventTarget)
		if median := time.Duration(ages[len(ages)/2]) * time.Millisecond; median > sharedBy*eventTarget {
			t.Errorf("half of the events of %s were shown later than %v", who, median)
		}
	}
}

// saysThatItIsStale: a member that says nothing is not taken for a healthy one.
func saysThatItIsStale(t *testing.T, c *cluster, b *browser, at *member) {
	if c.waitRouted() == at {
		c.others(at)[0].do("status") // it leads: freezing it would cost a failover, which is shown above
		at.do("switchover", c.others(at)[0].name)
		c.waitRouted()
	}
	at.signal(syscall.SIGSTOP)
	b.see("#stale")
	if text := js[string](b, "document.querySelector('#stale').textContent"); !strings.Contains(text, "Not live") || !strings.Contains(text, c.others(at)[0].name) {
		t.Errorf("it says: %s", text)
	}
	at.signal(syscall.SIGCONT)
	at.waitStore() // it may have led there
	b.gone("#stale")
	b.see("#live.live")
}
