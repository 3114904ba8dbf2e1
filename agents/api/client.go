package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Client speaks to an agent's API. It is safe for concurrent use.
type Client struct {
	base, token string
	http        *http.Client
}

// ErrUnreachable: nothing answers at the API's address.
var ErrUnreachable = errors.New("no agent answers")

// NewClient makes a client; base is like http://127.0.0.1:8420.
func NewClient(base, token string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Timeout: time.Minute}}
}

const answerMax = 16 << 20

// do sends one request. A refusal comes back as *Problem.
func (c *Client) do(ctx context.Context, method, path string, body []byte, key string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: the API's address is not one")
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w at %s", ErrUnreachable, c.base)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		p := &Problem{Status: resp.StatusCode, Code: "http-" + strconv.Itoa(resp.StatusCode)}
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
			_ = json.Unmarshal(text, p)
		}
		return p
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read answer: it is not an agent's: %w", err)
	}
	return nil
}

// Submit sends a submission as it stands in a file; the agent validates it.
func (c *Client) Submit(ctx context.Context, document []byte, key string) (*Accepted, error) {
	var a Accepted
	return &a, c.do(ctx, http.MethodPost, "/v1/messages", document, key, &a)
}

// Respond sends an answer.
func (c *Client) Respond(ctx context.Context, id string, document []byte, key string) (*Accepted, error) {
	var a Accepted
	return &a, c.do(ctx, http.MethodPost, "/v1/inbox/"+url.PathEscape(id)+"/responses", document, key, &a)
}

func get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	var v T
	return &v, c.do(ctx, http.MethodGet, path, nil, "", &v)
}

func getItems[T any](ctx context.Context, c *Client, path string, limit int, before int64, more url.Values) ([]T, error) {
	if more == nil {
		more = url.Values{}
	}
	if limit > 0 {
		more.Set("limit", strconv.Itoa(limit))
	}
	if before > 0 {
		more.Set("before", strconv.FormatInt(before, 10))
	}
	page, err := get[struct {
		Items []T `json:"items"`
	}](ctx, c, path+"?"+more.Encode())
	return page.Items, err
}

// Inbox lists what came.
func (c *Client) Inbox(ctx context.Context, open bool, limit int, before int64) ([]Item, error) {
	q := url.Values{}
	if open {
		q.Set("open", "true")
	}
	return getItems[Item](ctx, c, "/v1/inbox", limit, before, q)
}

// Outbox lists what was sent.
func (c *Client) Outbox(ctx context.Context, limit int, before int64) ([]Item, error) {
	return getItems[Item](ctx, c, "/v1/outbox", limit, before, nil)
}

// Quarantine lists what was set aside.
func (c *Client) Quarantine(ctx context.Context, limit int, before int64) ([]QuarantineItem, error) {
	return getItems[QuarantineItem](ctx, c, "/v1/quarantine", limit, before, nil)
}

// QuarantineItem shows one.
func (c *Client) QuarantineItem(ctx context.Context, n int64) (*QuarantineItem, error) {
	return get[QuarantineItem](ctx, c, "/v1/quarantine/"+strconv.FormatInt(n, 10))
}

// Message finds a message in the inbox or the outbox.
func (c *Client) Message(ctx context.Context, id string) (*Message, error) {
	m, err := get[Message](ctx, c, "/v1/inbox/"+url.PathEscape(id))
	var p *Problem
	if errors.As(err, &p) && p.Code == "not-found" {
		return get[Message](ctx, c, "/v1/outbox/"+url.PathEscape(id))
	}
	return m, err
}

// Thread returns a thread's history and how its referrals stand.
func (c *Client) Thread(ctx context.Context, id string) (*ThreadView, error) {
	return get[ThreadView](ctx, c, "/v1/threads/"+url.PathEscape(id))
}

// Directory shows who is who.
func (c *Client) Directory(ctx context.Context) (*DirectoryInfo, error) {
	return get[DirectoryInfo](ctx, c, "/v1/directory")
}

// Status shows how the agent is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return get[Status](ctx, c, "/v1/status")
}

// RetrySink gives dead letters another round.
func (c *Client) RetrySink(ctx context.Context, sink string) (int64, error) {
	var r Retried
	err := c.do(ctx, http.MethodPost, "/v1/sinks/"+url.PathEscape(sink)+"/retry", nil, "", &r)
	return r.Deliveries, err
}

// Lines renders a problem for a terminal: one line of what and a line per field.
func (p *Problem) Lines() []string {
	out := []string{p.Code + ": " + p.Detail}
	for _, f := range p.Problems {
		line := "  " + f.Path + "  " + f.Rule
		if f.Hint != "" {
			line += "  (" + f.Hint + ")"
		}
		out = append(out, line)
	}
	return out
}
