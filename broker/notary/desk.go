package notary

import (
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const (
	// deskWorkers are the requests that are handled at once.
	deskWorkers = 8
	// deskLine is how many of one agency wait.
	deskLine = 16
)

// desk handles requests side by side, so that no agency waits for what another's takes: those of one agency one after the other,
// in the order in which they came. The NATS client calls a service's handler for one request at a time.
type desk struct {
	workers chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool
	lines  map[string][]func() // what waits, by agency; there is an entry as long as somebody works on it
}

func newDesk() *desk {
	return &desk{workers: make(chan struct{}, deskWorkers), lines: map[string][]func(){}}
}

// add has f called soon, and returns at once; false when too many of the agency wait, or the desk is closed.
func (d *desk) add(agency string, f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	line, busy := d.lines[agency]
	if d.closed || len(line) >= deskLine {
		return false
	}
	d.lines[agency] = append(line, f)
	if !busy {
		d.wg.Add(1)
		go d.serve(agency)
	}
	return true
}

// serve works on one agency's line until it is empty.
func (d *desk) serve(agency string) {
	defer d.wg.Done()
	for {
		d.workers <- struct{}{} // in the order of arrival, so that agencies take turns
		d.mu.Lock()
		line := d.lines[agency]
		if len(line) == 0 {
			delete(d.lines, agency)
			d.mu.Unlock()
			<-d.workers
			return
		}
		f := line[0]
		d.lines[agency] = line[1:]
		d.mu.Unlock()
		f()
		<-d.workers
	}
}

// close takes nothing more and waits for what was taken. Whoever calls it has ended the context of that.
func (d *desk) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.wg.Wait()
}

// replier is the part of micro.Request by which a request is answered.
type replier interface {
	Respond(data []byte, opts ...micro.RespondOpt) error
	Error(code, text string, data []byte, opts ...micro.RespondOpt) error
}

// lateReply answers after the service's handler has returned, when a micro.Request is no longer ours to use.
type lateReply struct {
	conn *nats.Conn
	to   string
}

func (l lateReply) Respond(data []byte, _ ...micro.RespondOpt) error {
	return l.conn.Publish(l.to, data)
}

func (l lateReply) Error(code, text string, data []byte, _ ...micro.RespondOpt) error {
	return l.conn.PublishMsg(&nats.Msg{Subject: l.to, Header: nats.Header{micro.ErrorHeader: {text}, micro.ErrorCodeHeader: {code}}, Data: data})
}
