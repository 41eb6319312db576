package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Sizes. Together at most about 36 MB on disk.
const (
	decisionBytesMax = 8 << 20
	decisionFiles    = 4
	eventBytesMax    = 1 << 20
	eventFiles       = 4
	eventsKept       = 2000 // in memory
	queueLen         = 256
	repeatAfter      = time.Minute // the same news is written again only after this
)

// Entry is one tick: what was known, what was decided, how it went. With the memory that
// went into it the decision can be made again: see internal/replay.
type Entry struct {
	At time.Time `json:"at"`
	// Began names the agent process: when it began. What is known only grows within one.
	Began   core.Instant `json:"began,omitempty"`
	Memory  core.Memory  `json:"memory"` // going in
	View    core.View    `json:"view"`
	Plan    core.Plan    `json:"plan"`
	Report  core.Report  `json:"report"`
	Outcome string       `json:"outcome,omitempty"` // empty: all steps were done; else "STEP: error" of the one that failed
}

// Journal is safe for concurrent use.
type Journal struct {
	decisions, events *file
	work              chan line
	done              chan struct{}

	mu      sync.Mutex
	closed  bool
	latest  Entry
	known   bool // latest is an entry
	ours    bool // and was recorded since Open
	settled bool // latest's steps were told, or came to nothing
	told    []core.Step
	seen    string // signature of latest
	decided uint64 // how often it changed
	wroteAt time.Time
	recent  []Event
	changed chan struct{} // closed by the next Record; nil: nobody waits

	trouble  sync.Mutex // apart from mu, which the writer must not need: Flush waits for it under mu
	dropped  uint64
	diskFail error
}

type line struct {
	to   *file
	data []byte
	sync chan struct{} // closed when all before it is written
}

// Open continues the journal in dir (STATE_DIR/journal), or begins it. Lines that
// cannot be read (the last one of a crash) are skipped.
func Open(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		decisions: &file{path: filepath.Join(dir, "journal.jsonl"), bytesMax: decisionBytesMax, files: decisionFiles},
		events:    &file{path: filepath.Join(dir, "events.jsonl"), bytesMax: eventBytesMax, files: eventFiles},
		work:      make(chan line, queueLen),
		done:      make(chan struct{}),
	}
	j.recent = readEvents(j.events)
	if e, ok := lastEntry(j.decisions); ok {
		j.latest, j.known, j.settled, j.seen = e, true, true, signature(e)
	}
	go j.write()
	return j, nil
}

// Close writes what is queued and ends. Later records are kept in memory only.
func (j *Journal) Close() {
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.work)
	}
	j.mu.Unlock()
	<-j.done
}

// Record takes a tick's entry and writes it when it says something new. It never
// waits for the disk. Nobody may change the entry's maps and slices afterwards.
//
// A tick is recorded before its steps are run, and once more with its Outcome (and
// the same At) when one failed. So steps become events when the tick's end is known:
// at its failure, with Ended, or else with the next tick.
func (j *Journal) Record(e Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	events := j.stepEvents(e)
	if j.known {
		events = append(events, derive(j.latest, e)...)
	}
	sig := signature(e)
	if sig != j.seen {
		j.decided++
	}
	tell := len(events) > 0 || sig != j.seen || news(e) && e.At.Sub(j.wroteAt) >= repeatAfter
	j.latest, j.known, j.ours, j.seen = e, true, true, sig
	j.wake()
	j.keep(events)
	if tell {
		j.wroteAt = e.At
		// Made into text here and not by the writer: the entry shares maps with the
		// next tick, and news is rare enough to cost nothing.
		j.queue(j.decisions, marshal(redact(e)))
	}
}

// stepEvents tells the steps of the tick before, which e shows to have ended well,
// or those of e when it failed.
func (j *Journal) stepEvents(e Entry) (events []Event) {
	again := j.known && e.At.Equal(j.latest.At)
	if j.known && !j.settled && !again {
		events = j.tell(j.latest)
	}
	j.settled = e.Outcome != ""
	if j.settled {
		events = append(events, j.tell(e)...)
	}
	return events
}

// Ended says that the steps of the latest entry were carried out: they become events now and not with the next tick, which
// may be a second away while somebody looks.
func (j *Journal) Ended() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.known || j.settled {
		return
	}
	j.settled = true
	if events := j.tell(j.latest); len(events) > 0 {
		j.keep(events)
		j.wake()
	}
}

// keep makes events the newest, and has them written.
func (j *Journal) keep(events []Event) {
	for _, ev := range events {
		j.recent = append(j.recent, ev)
		j.queue(j.events, marshal(ev))
	}
	if over := len(j.recent) - eventsKept; over > 0 {
		j.recent = slices.Delete(j.recent, 0, over)
	}
}

func (j *Journal) wake() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

func (j *Journal) tell(e Entry) []Event {
	events := stepEvents(e, j.told)
	j.told = e.Plan.Steps
	return events
}

// Tell writes an event of which no tick tells.
func (j *Journal) Tell(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep([]Event{e})
	j.wake()
}

// Latest gives the newest entry, after a restart that of before; At is zero when
// there is none.
func (j *Journal) Latest() Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.latest
}

// Changed gives a channel that the next Record closes. Ask for it before Current: an entry in
// between then shows at once.
func (j *Journal) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// Current is Latest if it was recorded since Open: what a process of before saw may not be so any more.
func (j *Journal) Current() (e Entry, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.latest, j.ours
}

// Decisions counts what was recorded since Open and said something else than the entry before: renewals and numbers that
// only grow are nothing else.
func (j *Journal) Decisions() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.decided
}

// Events gives the newest limit events (0: all that are kept), oldest first.
func (j *Journal) Events(limit int) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	from := 0
	if limit > 0 {
		from = max(0, len(j.recent)-limit)
	}
	return slices.Clone(j.recent[from:])
}

// Trouble says how many lines were lost since Open and the last error of the disk.
func (j *Journal) Trouble() (dropped uint64, err error) {
	j.trouble.Lock()
	defer j.trouble.Unlock()
	return j.dropped, j.diskFail
}

func (j *Journal) lost(err error) {
	j.trouble.Lock()
	defer j.trouble.Unlock()
	j.dropped++
	if err != nil {
		j.diskFail = err
	}
}

// Flush waits until everything recorded so far was handed to the kernel.
func (j *Journal) Flush() {
	reached := make(chan struct{})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		<-j.done
		return
	}
	j.work <- line{sync: reached}
	<-reached
}

// queue drops the line when the writer is behind: a hanging disk must not stop the loop.
func (j *Journal) queue(to *file, data []byte) {
	if j.closed {
		return
	}
	select {
	case j.work <- line{to: to, data: data}:
	default:
		j.lost(nil)
	}
}

func (j *Journal) write() {
	defer close(j.done)
	defer j.events.close()
	defer j.decisions.close()
	for l := range j.work {
		if l.sync != nil {
			close(l.sync)
			continue
		}
		if err := l.to.append(l.data); err != nil {
			j.lost(err)
		}
	}
}
