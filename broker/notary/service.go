package notary

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/time/rate"

	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

// What one agency may ask: it verifies a few hundred messages a second that way, and cannot keep the notary from others.
const (
	requestsPerSecond = 20
	requestsBurst     = 60
)

// What is written for an agency stays for ever, or for long: acts and cosignatures are fewer. An agent that is told to wait
// goes on in its next round.
const (
	writesPerSecond = 2
	writesBurst     = 200
)

// serviceTimeout bounds the handling of a request; recoveriesMax is how many agencies at once may wait for the ledger to have
// everything that was stored for them, so that acts of others always find a worker.
const (
	serviceTimeout = 10 * time.Second
	recoveriesMax  = deskWorkers / 2
)

// serviceError is a refusal with a code of package ledger.
type serviceError struct{ code, text string }

func (e *serviceError) Error() string { return e.text }

func refuse(code, text string) error { return &serviceError{code, text} }

// serve answers agencies until stop is called, which waits for what is being handled.
func (n *Notary) serve(ctx context.Context) (stop func(), err error) {
	s, err := micro.AddService(n.cfg.Conn, micro.Config{Name: "waypost-ledger", Version: "1.0.0", Description: "checkpoints, proofs and acts of the ledger"})
	if err != nil {
		return nil, fmt.Errorf("serve ledger: %w", err)
	}
	var mu sync.Mutex
	limits := map[string]*rate.Limiter{}
	allowed := func(verb, agency string) bool {
		key, every, burst := agency, rate.Limit(requestsPerSecond), requestsBurst
		if verb == ledger.VerbAct || verb == ledger.VerbCosign {
			key, every, burst = agency+" "+verb, writesPerSecond, writesBurst
		}
		mu.Lock()
		defer mu.Unlock()
		l, ok := limits[key]
		if !ok {
			l = rate.NewLimiter(every, burst)
			limits[key] = l
		}
		return l.Allow()
	}
	ctx, end := context.WithCancel(ctx)
	acts := newDesk()
	stop = func() {
		end()
		_ = s.Stop()
		acts.close()
	}
	for verb, handle := range map[string]func(context.Context, string, []byte) (any, error){
		ledger.VerbCheckpoint: n.onCheckpoint, ledger.VerbConsistency: n.onConsistency, ledger.VerbInclusion: n.onInclusion,
		ledger.VerbCosign: n.onCosign, ledger.VerbAct: n.onAct, ledger.VerbAsked: n.onAsked,
		ledger.VerbSent: n.onSent, ledger.VerbRestored: n.onRestored,
	} {
		err := s.AddEndpoint(verb, micro.HandlerFunc(func(r micro.Request) {
			// The account lets an agency ask on its own subject only, so the subject says who asks.
			agency := r.Subject()[strings.LastIndexByte(r.Subject(), '.')+1:]
			work := func(to replier) {
				ctx, cancel := context.WithTimeout(ctx, n.patience)
				defer cancel()
				answer, err := handle(ctx, agency, r.Data())
				n.respond(ctx, to, verb, agency, answer, err)
			}
			switch {
			case !allowed(verb, agency):
				n.respond(ctx, r, verb, agency, nil, errBusy)
			case verb != ledger.VerbAct:
				work(r)
			default: // it may wait for the ledger, or delete much
				late := lateReply{n.cfg.Conn, r.Reply()}
				if !acts.add(agency, func() { work(late) }) {
					n.respond(ctx, r, verb, agency, nil, errBusy)
				}
			}
		}), micro.WithEndpointSubject("log."+verb+".*"))
		if err != nil {
			stop()
			return nil, fmt.Errorf("serve ledger: %w", err)
		}
	}
	return stop, nil
}

func (n *Notary) respond(ctx context.Context, r replier, verb, agency string, answer any, err error) {
	var se *serviceError
	switch {
	case err == nil:
		err = r.Respond(ledger.Encode(answer))
	case errors.As(err, &se):
		err = r.Error(se.code, se.text, nil)
	default:
		n.log.WarnContext(ctx, "a request to the ledger failed", "verb", verb, "agency", agency, "err", err)
		err = r.Error(ledger.ServiceDown, "the ledger cannot be read or written now; ask again later", nil)
	}
	if err != nil && ctx.Err() == nil {
		n.log.DebugContext(ctx, "an answer of the ledger did not go out", "verb", verb, "agency", agency, "err", err)
	}
}

func read(data []byte, v any) error {
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return refuse(ledger.ServiceBad, "the request is not JSON of the documented form")
	}
	return nil
}

var (
	errDown = refuse(ledger.ServiceDown, "the ledger is being read; ask again in a second")
	errBusy = refuse(ledger.ServiceBusy, "too many requests; ask again in a second")
)

func (n *Notary) onCheckpoint(_ context.Context, agency string, _ []byte) (any, error) {
	a, ok := n.wit.answer(agency)
	if !ok {
		return nil, refuse(ledger.ServiceAbsent, "there is no checkpoint yet")
	}
	return a, nil
}

func (n *Notary) onConsistency(ctx context.Context, _ string, data []byte) (any, error) {
	var q ledger.ConsistencyRequest
	if err := read(data, &q); err != nil {
		return nil, err
	}
	b, signed := n.reading()
	if b == nil {
		return nil, errDown
	}
	if q.Old < 1 || q.Old > q.New || q.New > signed {
		return nil, refuse(ledger.ServiceBad, "sizes must be 1 <= old <= new <= the newest checkpoint's")
	}
	proof, err := tlog.ProveTree(q.New, q.Old, b.hashes(ctx))
	if err != nil {
		return nil, err
	}
	return ledger.ConsistencyAnswer{Hashes: ledger.FormatHashes(proof)}, nil
}

func (n *Notary) onInclusion(ctx context.Context, agency string, data []byte) (any, error) {
	var q ledger.InclusionRequest
	if err := read(data, &q); err != nil {
		return nil, err
	}
	b, signed := n.reading()
	if b == nil {
		return nil, errDown
	}
	if q.Size < 1 || q.Size > signed || len(q.Places) > ledger.MaxInclusions || (q.Act != "") == (len(q.Places) > 0) {
		return nil, refuse(ledger.ServiceBad, "size must be a signed one, and there must be 1 to 32 places or one act")
	}
	a := ledger.InclusionAnswer{Inclusions: []ledger.Inclusion{}}
	if q.Act != "" {
		m, err := b.act(ctx, &ledger.Act{By: agency, ID: q.Act})
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && int64(m.Sequence) > q.Size { //nolint:gosec // a number of a message
			a.Inclusions = append(a.Inclusions, ledger.Inclusion{})
			return a, nil
		}
		if err != nil {
			return nil, err
		}
		in, err := n.prove(ctx, b, m, q.Size)
		if err != nil {
			return nil, err
		}
		a.Inclusions = append(a.Inclusions, in)
		return a, nil
	}
	for _, p := range q.Places {
		in, err := n.inclusion(ctx, b, agency, p, q.Size)
		if err != nil {
			return nil, err
		}
		a.Inclusions = append(a.Inclusions, in)
	}
	return a, nil
}

func (n *Notary) inclusion(ctx context.Context, b *book, agency string, p ledger.Place, size int64) (ledger.Inclusion, error) {
	stream := indexOf(p.Stream)
	if stream < 1 { // the directory is everybody's, and is not asked for here
		return ledger.Inclusion{}, refuse(ledger.ServiceBad, "no such mail stream")
	}
	i, err := b.find(ctx, stream, p.Seq, size)
	if err != nil || i == size {
		return ledger.Inclusion{}, err
	}
	m, err := b.record(ctx, i)
	if err != nil {
		return ledger.Inclusion{}, err
	}
	r, err := ledger.ParseRecord(m.Data)
	if err != nil {
		return ledger.Inclusion{}, err
	}
	if r.Stream != p.Stream || r.Seq != p.Seq || r.Kind != ledger.KindMail {
		return ledger.Inclusion{}, nil // a gap stands there, or something that was no message
	}
	manifest, _, err := r.Manifest()
	if err != nil {
		return ledger.Inclusion{}, err
	}
	if manifest.From != agency && manifest.To != agency {
		return ledger.Inclusion{}, refuse(ledger.ServiceRefused, "an agency gets proofs of its own messages only")
	}
	return n.prove(ctx, b, m, size)
}

func (n *Notary) prove(ctx context.Context, b *book, m *jetstream.RawStreamMsg, size int64) (ledger.Inclusion, error) {
	i := int64(m.Sequence) - 1 //nolint:gosec // a number of a message
	proof, err := tlog.ProveRecord(size, i, b.hashes(ctx))
	if err != nil {
		return ledger.Inclusion{}, err
	}
	return ledger.Inclusion{Record: base64.StdEncoding.EncodeToString(m.Data), Index: i, Hashes: ledger.FormatHashes(proof)}, nil
}

// onCosign keeps a checkpoint that an agency cosigned. It must be one that this log signed, or a member could fill the
// stream with somebody else's.
func (n *Notary) onCosign(ctx context.Context, agency string, data []byte) (any, error) {
	c, err := ledger.ParseCheckpoint(data)
	if err != nil {
		return nil, refuse(ledger.ServiceBad, "not a checkpoint")
	}
	view := n.cfg.View()
	if view == nil {
		return nil, errDown
	}
	c = c.Only(agency)
	if err := c.Verify(view, n.cfg.Now()); err != nil {
		return nil, refuse(ledger.ServiceBad, "not a checkpoint of this log")
	}
	if len(c.Witnesses(view)) != 1 || c.Unknown(view) > 0 {
		return nil, refuse(ledger.ServiceBad, "not cosigned by this agency with a key that is in force")
	}
	if _, err := n.js.PublishMsg(ctx, &nats.Msg{Subject: witnessSubject + agency, Data: c.Raw()}); err != nil {
		return nil, err
	}
	n.wit.cosigned(agency, c)
	return struct{}{}, nil
}

func (n *Notary) onAct(ctx context.Context, asker string, data []byte) (any, error) {
	view := n.cfg.View()
	if view == nil {
		return nil, errDown
	}
	act, err := ledger.VerifyAct(data, n.cfg.Root, view)
	if err != nil {
		return nil, refuse(ledger.ServiceBad, "not an act that its signer signed with a key that is in force")
	}
	byRoot := act.By == directory.RootName
	if !byRoot && act.By != asker || byRoot && asker != "administrator" {
		return nil, refuse(ledger.ServiceRefused, "an act is handed in by whoever signed it")
	}
	if skew := act.At.Sub(n.cfg.Now()); skew > 5*time.Minute {
		return nil, refuse(ledger.ServiceBad, "the act is dated in the future; set the clock")
	}
	if act.Act == ledger.ActRestored {
		if err := n.checkRestored(ctx, act); err != nil {
			return nil, err
		}
	}
	r := &actRequest{raw: bytes.Clone(data), act: act, done: make(chan actResult, 1)}
	select {
	case n.acts <- r:
	case <-ctx.Done():
		return nil, errDown
	}
	var res actResult
	select {
	case res = <-r.done:
	case <-ctx.Done():
		return nil, errDown
	}
	if res.err != nil {
		return nil, errDown
	}
	if act.Act == ledger.ActRecovers {
		if err := n.again(ctx, act.By); err != nil {
			return nil, err
		}
	}
	if act.Act == ledger.ActErased {
		kept := n.retaining()
		if kept == nil {
			return nil, errDown
		}
		if res.answer.Deleted, res.answer.Waiting, err = kept.erase(ctx, act.Thread, act.By); err != nil {
			return nil, err
		}
	}
	return res.answer, nil
}

func (n *Notary) onAsked(ctx context.Context, agency string, data []byte) (any, error) {
	var q ledger.AskedRequest
	if err := read(data, &q); err != nil {
		return nil, err
	}
	if q.From < 0 {
		return nil, refuse(ledger.ServiceBad, "from must not be negative")
	}
	a := ledger.AskedAnswer{Next: q.From}
	for m, err := range mustSeq(jetstreamext.GetBatch(ctx, n.js, StreamLedger, 64, jetstreamext.GetBatchSeq(uint64(q.From)+1), jetstreamext.GetBatchSubject("ledger.act."+agency+".*"))) { //nolint:gosec // not negative
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, err
		}
		a.Next = int64(m.Sequence) //nolint:gosec // a number of a message
		if r, err := ledger.ParseRecord(m.Data); err == nil && r.Kind == ledger.KindAct {
			if act, _, err := ledger.ParseAct(r.Note); err == nil && (act.Act == ledger.ActRedeliver || act.Act == ledger.ActRecovers) {
				a.Acts = append(a.Acts, string(r.Note))
			}
		}
	}
	return a, nil
}
