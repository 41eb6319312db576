package warden

import (
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	logBytesMax    = 32 << 20
	logCheckPeriod = 10 * time.Second
)

// asyncWriter hands lines to a goroutine that writes them, and drops them when it
// falls behind: a hung disk may stop the log but must not stop the fence.
type asyncWriter struct{ lines chan []byte }

func newAsyncWriter(to io.Writer) asyncWriter {
	w := asyncWriter{make(chan []byte, 128)}
	go func() {
		for line := range w.lines {
			if len(line) > 0 {
				_, _ = to.Write(line)
			}
		}
	}()
	return w
}

func (w asyncWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- append([]byte(nil), line...):
	default:
	}
	return len(line), nil
}

// flush waits until what was written before is out, or for the limit.
func (w asyncWriter) flush(limit time.Duration) {
	for end := time.Now().Add(limit); len(w.lines) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Millisecond)
}

// keepLogsSmall rotates for ever.
func keepLogsSmall(stateDir string) {
	for ; ; time.Sleep(logCheckPeriod) {
		for _, name := range []string{"postgres.log", "warden.log"} {
			_ = rotate(filepath.Join(stateDir, name), logBytesMax)
		}
	}
}

// rotate copies a regular file over bytesMax to PATH.1 and truncates it in place: its
// writers hold it open for appending and need not know. What is written between the copy
// and the truncation is lost. When there is no room for the copy, the log
// gives way at twice the size.
func rotate(path string, bytesMax int64) error {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() <= bytesMax {
		return err
	}
	err = copyFile(path, path+".1")
	if err != nil {
		_ = os.Remove(path + ".1")
		if info.Size() <= 2*bytesMax {
			return err
		}
	}
	return os.Truncate(path, 0)
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	_ = os.Remove(to)
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}
