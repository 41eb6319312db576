package warden

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	peersMax     = 64
	writeTimeout = 5 * time.Second
)

// listen replaces a socket that a dead warden left. The lock is held: nobody can
// be listening on it.
func listen(stateDir string) (l *net.UnixListener, err error) {
	err = withSocketPath(stateDir, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false) // the path may be of a descriptor that is closed by then
		return os.Chmod(path, 0o600)
	})
	return l, err
}

func (w *warden) serve(l *net.UnixListener) {
	places := make(chan struct{}, peersMax)
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		select {
		case places <- struct{}{}:
			go func() {
				defer func() { <-places }()
				w.serveConn(conn)
			}()
		default:
			conn.Close()
		}
	}
}

func (w *warden) serveConn(conn *net.UnixConn) {
	defer conn.Close()
	if !permitted(conn) {
		return
	}
	p := newPeer(conn)
	defer p.close()
	w.calls <- func() { w.join(p) }
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 4096), lineBytesMax)
	for lines.Scan() {
		var r request
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			break
		}
		w.calls <- func() { w.handle(p, r) }
	}
	w.calls <- func() { delete(w.peers, p) }
}

// permitted admits the own user and root, whatever became of the socket's mode.
func permitted(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return controlErr == nil && err == nil && (cred.Uid == 0 || cred.Uid == uint32(os.Getuid()))
}

// peer is one client's connection. Sending never waits: a client that does not read
// is dropped, not waited for.
type peer struct {
	conn    net.Conn
	out     chan []byte
	closing chan struct{}
	once    sync.Once
	flushed chan struct{}
}

func newPeer(conn net.Conn) *peer {
	p := &peer{conn: conn, out: make(chan []byte, 64), closing: make(chan struct{}), flushed: make(chan struct{})}
	go p.write()
	return p
}

func (p *peer) send(r reply) {
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	select {
	case p.out <- append(b, '\n'):
	default:
		p.close()
		p.conn.Close()
	}
}

func (p *peer) close() { p.once.Do(func() { close(p.closing) }) }

func (p *peer) write() {
	defer close(p.flushed)
	defer p.conn.Close()
	for {
		select {
		case b := <-p.out:
			if !p.put(b) {
				return
			}
		case <-p.closing:
			p.drain()
			return
		}
	}
}

func (p *peer) put(b []byte) bool {
	_ = p.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := p.conn.Write(b)
	return err == nil
}

func (p *peer) drain() {
	for {
		select {
		case b := <-p.out:
			if !p.put(b) {
				return
			}
		default:
			return
		}
	}
}

// closePeers lets the last answers out before the process ends.
func (w *warden) closePeers(limit time.Duration) {
	timeout := time.After(limit)
	for p := range w.peers {
		p.close()
		select {
		case <-p.flushed:
		case <-timeout:
			return
		}
	}
}
