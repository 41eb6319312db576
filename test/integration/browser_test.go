package integration

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is a headless Chromium with one page. It takes the cluster's certificates as they are: that the names in them
// are right is what other tests show.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	faults  []string // exceptions, and what the page's policy forbade
	foreign []string // requests to anybody but the member
	host    string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: `make deps` installs it", err)
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.IgnoreCertErrors,
		chromedp.Headless, chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute))
	t.Cleanup(end)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx}
	// The first call starts the browser, which ends with its context: it must be the long-lived one.
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	b.do(command(network.Enable, network.EnableParams{}), command(log.Enable, cdp.Empty{}), chromedp.EmulateViewport(1280, 900))
	return b
}

// command makes a step of one of the browser's own commands.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, jsonText(e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceViolation {
			b.faults = append(b.faults, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && u.Host != b.host && u.Scheme != "data" {
			b.foreign = append(b.foreign, e.Request.URL)
		}
	}
}

// do runs steps that must succeed within a minute.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("browser: %v; the page: %.2000s", err, b.text())
	}
}

func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return text
}

// js gives the value of an expression.
func js[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits for an expression to be true. It does not look with each frame: a machine that is busy may paint none for long.
func (b *browser) until(limit time.Duration, what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(0), chromedp.WithPollingInterval(30*time.Millisecond))); err != nil {
		b.t.Fatalf("not after %v: %s: %v; the page: %.3000s", limit, what, err, b.text())
	}
}

// see waits until something that the selector names can be seen, gone until nothing is left of it.
func (b *browser) see(selector string) {
	b.t.Helper()
	b.until(time.Minute, selector+" in sight", "[...document.querySelectorAll("+quote(selector)+")].some((e) => e.checkVisibility())")
}

func (b *browser) gone(selector string) {
	b.t.Helper()
	b.until(time.Minute, "nothing of "+selector, "!document.querySelector("+quote(selector)+")")
}

func (b *browser) key(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

func (b *browser) types(selector, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (b *browser) open(m *member) {
	b.t.Helper()
	b.mu.Lock()
	b.host = m.apiAt()
	b.mu.Unlock()
	b.do(chromedp.Navigate("https://" + m.apiAt() + "/ui/"))
}

// login types a new token into the page, and gives it.
func (b *browser) login(m *member, name, role string) {
	b.t.Helper()
	token := strings.TrimSpace(m.do("access", "create", name, "--role", role))
	b.see("#token")
	b.types("#token", token+"\r")
	b.see("#picture svg")
}

func (b *browser) logout() {
	b.t.Helper()
	b.click("#logout")
	b.see("#token")
}

// click clicks on what the selector names as soon as that can be done.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.until(20*time.Second, "a button "+selector, "(() => { const e = document.querySelector("+quote(selector)+"); return !!e && !e.disabled })()")
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// choose takes an option of a list.
func (b *browser) choose(selector, value string) {
	b.t.Helper()
	b.until(20*time.Second, "a choice "+value, "[...document.querySelectorAll("+quote(selector+" option")+")].some((e) => e.value === "+quote(value)+")")
	js[bool](b, "(() => { const e = document.querySelector("+quote(selector)+"); e.value = "+quote(value)+"; return e.dispatchEvent(new Event('change', {bubbles: true})) })()")
}

// tabTo goes on with Tab until that has the focus.
func (b *browser) tabTo(selector string) {
	b.t.Helper()
	for range 60 {
		if js[bool](b, "document.activeElement.matches("+quote(selector)+")") {
			return
		}
		b.key(kb.Tab)
	}
	b.t.Fatalf("Tab does not reach %s", selector)
}

// note writes down each new value that an expression has while the page changes: what is there for a moment only, no poll sees for sure.
func (b *browser) note(expression string) {
	b.t.Helper()
	js[bool](b, `(() => {
		window.noting?.disconnect();
		window.noted = [];
		window.noting = new MutationObserver(() => {
			const value = `+expression+`;
			if (value && window.noted[window.noted.length - 1] !== value) window.noted.push(value);
		});
		window.noting.observe(document.body, {attributes: true, characterData: true, childList: true, subtree: true});
		return true;
	})()`)
}

func (b *browser) noted() []string {
	b.t.Helper()
	return js[[]string](b, "window.noted")
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// size makes the window as large as a screen of that kind.
func (b *browser) size(width, height int64, phone bool) {
	b.t.Helper()
	p := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: phone}
	if phone {
		p.DeviceScaleFactor = 2
	}
	b.do(command(emulation.SetDeviceMetricsOverride, p))
	b.until(time.Minute, "a page of that width", "innerWidth === "+jsonText(width))
}

func jsonText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// theme has the system prefer one, and the page follow it.
func (b *browser) theme(name string) {
	b.t.Helper()
	b.prefers(name)
	b.until(time.Minute, "the theme "+name, "document.documentElement.dataset.theme === "+quote(name))
}

// prefers is the system's choice of a theme.
func (b *browser) prefers(name string) {
	b.t.Helper()
	b.do(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}))
}

// picture writes what is seen to PGHERD_SCREENSHOTS, if that is set: `make screenshots`.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("PGHERD_SCREENSHOTS")
	if dir == "" {
		return
	}
	data, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// filled waits, where pictures are taken, until the charts show something.
func (b *browser) filled() {
	b.t.Helper()
	if os.Getenv("PGHERD_SCREENSHOTS") != "" {
		b.until(3*time.Minute, "samples", "performance.now() > 50_000")
	}
}

// clean says that nothing went wrong in the page, and that it asked nobody but the member.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		b.t.Errorf("faults in the page: %q", b.faults)
	}
	if len(b.foreign) > 0 {
		b.t.Errorf("it asked others than the member: %q", b.foreign)
	}
}
