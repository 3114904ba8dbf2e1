package brokertest

import (
	"errors"
	"net"
	"sync"
	"testing"
)

type mode int

const (
	pass mode = iota
	hold      // nothing is forwarded in either direction, and nothing is lost
	drop      // what the broker says is thrown away; what the agency says still arrives
	cut       // no connection lives and none is made
)

// Proxy stands between agencies and the broker and fails as networks do.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed *sync.Cond
	mode    mode
	links   map[*link]struct{}
	dropped int // bytes thrown away
	closed  bool
	wg      sync.WaitGroup
}

type link struct {
	client, server net.Conn
	tainted        bool // bytes of it were dropped: it can only be closed
}

// NewProxy listens on a loopback port until the test ends and forwards to target, which is host:port.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	p := &Proxy{listener: l, target: target, links: map[*link]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(p.close)
	return p
}

// URL is the address for agencies.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Hold stops forwarding in both directions and loses nothing: a network that hangs. Pass goes on.
func (p *Proxy) Hold() { p.set(hold) }

// DropReplies lets what agencies send arrive and throws away what the broker answers: a publish is stored and its
// acknowledgement lost. Connections that lost bytes are closed by the next Pass or Cut.
func (p *Proxy) DropReplies() { p.set(drop) }

// Cut closes all connections and refuses new ones: a network that is down.
func (p *Proxy) Cut() { p.set(cut) }

// Pass forwards everything again.
func (p *Proxy) Pass() { p.set(pass) }

// Dropped is how many bytes DropReplies has thrown away.
func (p *Proxy) Dropped() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

// WaitDropped returns when at least n bytes in all were thrown away: the broker has answered, and nobody heard it.
func (p *Proxy) WaitDropped(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.dropped < n && !p.closed {
		p.changed.Wait()
	}
}

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	for l := range p.links {
		if m == cut || l.tainted && m != drop {
			_ = l.client.Close()
			_ = l.server.Close()
		}
	}
	p.changed.Broadcast()
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.set(cut)
	p.wg.Wait()
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		l := &link{client: c, server: s}
		p.mu.Lock()
		if p.mode == cut {
			p.mu.Unlock()
			_ = c.Close()
			_ = s.Close()
			continue
		}
		p.links[l] = struct{}{}
		p.wg.Add(2)
		p.mu.Unlock()
		go p.forward(l, c, s, false)
		go p.forward(l, s, c, true)
	}
}

func (p *Proxy) forward(l *link, from, to net.Conn, fromBroker bool) {
	defer p.wg.Done()
	defer func() {
		_ = from.Close()
		_ = to.Close()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && p.allowed(l, n, fromBroker) {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// allowed waits while the proxy holds and says whether the bytes that were just read are forwarded.
func (p *Proxy) allowed(l *link, n int, fromBroker bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode == hold {
		p.changed.Wait()
	}
	switch {
	case l.tainted && fromBroker, p.mode == cut:
		return false
	case p.mode == drop && fromBroker:
		l.tainted = true
		p.dropped += n
		p.changed.Broadcast()
		return false
	}
	return true
}
