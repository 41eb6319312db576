package api

import "net/http"

// LogPath is where the level of this member's log is looked at and changed, until its agent ends.
const LogPath = "/v1/log"

// LogLevel is debug, info, warn or error.
type LogLevel struct {
	Level string `json:"level"`
}

func (s *Server) getLog(*http.Request, string) (any, error) {
	if s.b.LogLevel == nil {
		return nil, errNoLogLevel()
	}
	return LogLevel{s.b.LogLevel.Level()}, nil
}

func (s *Server) putLog(r *http.Request, by string) (any, error) {
	if s.b.LogLevel == nil {
		return nil, errNoLogLevel()
	}
	var want LogLevel
	if err := body(r, &want); err != nil {
		return nil, err
	}
	was := s.b.LogLevel.Level()
	if err := s.b.LogLevel.SetLevel(want.Level); err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "level_unknown", "", "%v", err)
	}
	s.b.Log.Warn("the log's level was changed", "from", was, "to", want.Level, "by", by)
	return LogLevel{want.Level}, nil
}

func errNoLogLevel() error {
	return refuse(http.StatusNotImplemented, "no_log_level", "", "the level of this log cannot be changed")
}
