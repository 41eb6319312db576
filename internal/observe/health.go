package observe

import (
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/trust"
)

// A flush beside data that is written under load makes the file system's journal go out. ext4 does
// that every five seconds anyway, so that tests so far apart add next to nothing; beside a
// server that is stopped or failing they cost nobody anything.
const (
	probeEvery   = time.Second
	testEvery    = 5 * time.Second
	testWhenDown = time.Second
	warmEvery    = 5 * time.Second
)

// health makes the small writes by which it is told whether writes work: each in the background,
// where it may hang, and none beside another.
type health struct {
	mu      sync.Mutex
	writer  *postgres.Prober
	commits trust.Prober
	busy    bool // a call to writer is under way
	writes  bool // the server was seen to be a primary
	warmed  core.Instant
	test    trust.Prober
	disk    core.Disk // but for Test
}

// look adds the facts to l, and begins what is due by what l says.
func (s *LocalSource) look(l *core.Local) {
	h, now := &s.health, s.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writer == nil {
		h.writer = postgres.NewProber(s.Instance)
		h.commits.Every = probeEvery
	}
	s.lookAtCommits(l, now)
	s.lookAtDisk(l, now)
}

func (s *LocalSource) lookAtCommits(l *core.Local, now core.Instant) {
	h, i := &s.health, &l.Instance
	switch {
	case !l.Warden.Alive || l.Warden.Empty:
		if h.writes || h.warmed != 0 {
			h.writer.Close() // also what hangs in it
			h.commits.Forget()
		}
		h.writes, h.warmed = false, 0
	case i.Standby():
		if h.writes {
			h.commits.Forget()
		}
		if h.writes = false; !h.busy && now.Sub(h.warmed) > warmEvery {
			h.busy, h.warmed = true, now
			go s.done(func() { _ = h.writer.Warm() })
		}
	case i.Primary || i.State == core.StateUnknown: // a holder that serves reads may freeze too, and one whose agent is new
		h.writes = true
		s.commit(now)
	}
	if h.writes {
		l.Probe = h.commits.Look(now)
	}
}

func (s *LocalSource) done(call func()) {
	call()
	s.health.mu.Lock()
	s.health.busy = false
	s.health.mu.Unlock()
}

// commit sends one if it is due.
func (s *LocalSource) commit(now core.Instant) {
	h := &s.health
	if h.busy {
		return
	}
	number, due := h.commits.Due(now)
	if !due {
		return
	}
	h.busy = true
	go s.done(func() {
		err := h.writer.Write()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.commits.Answered(number, s.Now(), err, postgres.SQLState(err))
	})
}

func (s *LocalSource) lookAtDisk(l *core.Local, now core.Instant) {
	h := &s.health
	l.Disk = h.disk
	l.Disk.Test = h.test.Look(now)
	h.test.Every = testEvery
	if l.Instance.State != core.StateRunning || l.Disk.Test.Err != "" {
		h.test.Every = testWhenDown
	}
	if number, due := h.test.Due(now); due {
		go s.testDisk(number)
	}
}

// testDisk may hang for as long as the device does.
func (s *LocalSource) testDisk(number int) {
	wal, data := s.Instance.Volumes()
	var disk core.Disk
	var err error
	if c, unread := postgres.ReadControl(s.Instance.DataDir); unread == nil {
		disk.Segment = int64(c.WalSegmentBytes)
	}
	for dir, room := range map[string]*core.Room{wal: &disk.WAL, data: &disk.Data} {
		if failed := postgres.TestWrite(dir); failed != nil {
			err = failed
		}
		room.Free, room.Size, _ = postgres.Room(dir) // not known: 0
	}
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.test.Answered(number, s.Now(), err, "")
	h.disk = disk
}

// Close ends the session that stays open.
func (s *LocalSource) Close() {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.writer != nil {
		s.health.writer.Close()
	}
}
