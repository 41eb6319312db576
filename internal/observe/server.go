package observe

import (
	"time"

	"github.com/pgherd/pgherd/internal/postgres"
)

// Server is what a running server says of itself that no decision rests on, and people ask for.
type Server struct {
	Version      int       // 150014 for 15.14
	ReplayPaused bool      // a standby that was told to replay no more
	ReplayedAt   time.Time // commit time of the last transaction that a standby replayed; zero: none since its start
	Archive      bool      // restore_command is set
}

// Server is the last answer; zero before the first.
func (s *LocalSource) Server() Server {
	if told := s.server.Load(); told != nil {
		return *told
	}
	return Server{}
}

func serverOf(f postgres.Facts) *Server {
	told := &Server{Version: f.ServerVersion, ReplayPaused: f.ReplayPaused, Archive: f.Archive}
	if f.ReplayedAt != nil {
		told.ReplayedAt = *f.ReplayedAt
	}
	return told
}
