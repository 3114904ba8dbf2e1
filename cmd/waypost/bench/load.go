package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// journey is one message's way, in Unix nanoseconds; 0 is "not seen".
type journey struct {
	id       string
	to       *agency
	urgent   bool
	intended int64 // when it was to be submitted: with a rate, whether or not a caller was free
	accepted int64 // the caller has the API's 202
	stored   int64 // the broker's timestamp
	inbox    int64 // its inbox row is on disk at the latest: the recipient acknowledged it, or its sink had it
	sunk     int64 // the recipient's folder sink said that the file is on disk
	receipt  int64 // the sender acknowledged the receipt: it is on disk there
	refused  string
}

// part is one part of a run: messages of one kind, from whom to whom, how fast.
type part struct {
	example string
	urgent  bool
	pairs   []pair
	count   int
	rate    float64 // 0: closed loop
	workers int
	after   func(ctx context.Context, n int) error // between messages of one worker; nil: nothing
}

type pair struct{ from, to *agency }

func (w *world) ring() []pair {
	var out []pair
	for i, a := range w.active {
		out = append(out, pair{a, w.active[(i+1)%len(w.active)]})
	}
	return out
}

// caller submits through agents' APIs as an agency's own system does.
type caller struct {
	http *http.Client
	size int
}

func newCaller(o *Options) *caller {
	return &caller{size: o.Size, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		MaxIdleConnsPerHost: o.Workers + 8, DialContext: (&net.Dialer{}).DialContext}}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// submit runs a part and returns the messages that were accepted, also when it returns an error. It ends with the first
// refusal: a figure over messages that were refused would mean nothing.
func (c *caller) submit(ctx context.Context, p part, done func(int)) ([]*journey, error) {
	docs := make([][]byte, len(p.pairs))
	for i, pr := range p.pairs {
		var err error
		if docs[i], err = document(p.example, pr.to.id, c.size); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	var next, finished atomic.Int64
	lists := make([][]*journey, p.workers)
	var wg sync.WaitGroup
	var mu sync.Mutex // of done
	for i := range p.workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				k := int(next.Add(1)) - 1
				if k >= p.count || ctx.Err() != nil {
					return
				}
				intended := time.Now()
				if p.rate > 0 {
					intended = began.Add(time.Duration(float64(k) / p.rate * float64(time.Second)))
					if !until(ctx, intended) {
						return
					}
				}
				j := &journey{to: p.pairs[k%len(p.pairs)].to, urgent: p.urgent, intended: intended.UnixNano()}
				if err := c.post(ctx, p.pairs[k%len(p.pairs)].from, docs[k%len(p.pairs)], j); err != nil {
					cancel(err)
					return
				}
				lists[i] = append(lists[i], j)
				n := int(finished.Add(1))
				if done != nil {
					mu.Lock()
					done(n)
					mu.Unlock()
				}
				if p.after != nil {
					if err := p.after(ctx, n); err != nil {
						cancel(err)
						return
					}
				}
			}
		}()
	}
	wg.Wait()
	var out []*journey
	for _, l := range lists {
		out = append(out, l...)
	}
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	return out, nil
}

// until waits for a moment; false when ctx ended first.
func until(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *caller) post(ctx context.Context, from *agency, doc []byte, j *journey) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, from.url+"/v1/referrals", bytes.NewReader(doc))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+from.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("submit to agent %s: no answer", from.id)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	j.accepted = time.Now().UnixNano()
	if err != nil {
		return fmt.Errorf("submit to agent %s: answer broke off", from.id)
	}
	var answer struct {
		ID   string `json:"id"`
		Code string `json:"code"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("submit to agent %s: the answer is not an agent's", from.id)
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("submit to agent %s: refused with %d %s", from.id, resp.StatusCode, answer.Code)
	}
	if j.id = answer.ID; j.id == "" {
		return errors.New("submit: the agent gave no id")
	}
	return nil
}
