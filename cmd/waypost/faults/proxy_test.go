//go:build linux

package faults

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// fault is what a proxy does to the bytes that pass.
type fault int

const (
	pass   fault = iota
	drop         // nothing passes and nothing is closed: a half-open connection
	mute         // what is asked arrives, what is answered does not: failed but stored
	delay        // everything passes a fifth of a second late
	refuse       // new connections are closed at once, old ones are reset
)

func (f fault) String() string { return [...]string{"pass", "drop", "mute", "delay", "refuse"}[f] }

// proxy stands between two processes.
type proxy struct {
	name, to string
	l        net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	fault   fault
	changed chan struct{} // closed when fault changes
	conns   map[*net.TCPConn]bool
	closed  bool
}

func newProxy(t *testing.T, name, to string) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{name: name, to: to, l: l, changed: make(chan struct{}), conns: map[*net.TCPConn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		_ = l.Close()
		p.set(pass)
		p.reset()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) set(f fault) {
	p.mu.Lock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if f == refuse {
		p.reset()
	}
}

// reset ends every connection with RST, as a router that forgot it does.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

func (p *proxy) now() (fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

func (p *proxy) keep(c *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c *net.TCPConn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		in := c.(*net.TCPConn)
		if f, _ := p.now(); f == refuse || !p.keep(in) {
			_ = in.SetLinger(0)
			_ = in.Close()
			continue
		}
		p.wg.Go(func() { p.serve(in) })
	}
}

func (p *proxy) serve(in *net.TCPConn) {
	defer p.forget(in)
	c, err := net.DialTimeout("tcp", p.to, 2*time.Second)
	if err != nil {
		return
	}
	out := c.(*net.TCPConn)
	if !p.keep(out) {
		return
	}
	defer p.forget(out)
	var both sync.WaitGroup
	both.Go(func() { p.carry(out, in, false) })
	both.Go(func() { p.carry(in, out, true) })
	both.Wait()
}

func (p *proxy) carry(to, from *net.TCPConn, answers bool) {
	buf := make([]byte, 32<<10)
	defer to.Close()
	defer from.Close()
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.through(answers) {
			// Bytes that were dropped would tear the stream apart: the connection ends with them.
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				_ = to.SetLinger(0)
			}
			return
		}
	}
}

// through waits as the fault wants, and says whether what waits may go on.
func (p *proxy) through(answers bool) bool {
	for first := true; ; first = false {
		f, changed := p.now()
		switch {
		case f == drop, f == mute && answers:
			<-changed
			continue
		case f == delay && first:
			select {
			case <-changed:
			case <-time.After(200 * time.Millisecond):
			}
		}
		// What was held back while the line was dead is lost with its connection, as behind a router that was restarted.
		return first
	}
}
