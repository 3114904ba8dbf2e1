package route

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// WebhookConfig is an HTTP endpoint of the agency's own system.
type WebhookConfig struct {
	Name        string        `yaml:"-"`
	URL         string        `yaml:"url" validate:"required,url"`
	SecretFiles []string      `yaml:"secret_files" validate:"required,min=1,max=4,dive,required"` // several while a key is rotated
	Payload     string        `yaml:"payload" validate:"omitempty,oneof=full thin"`               // thin: ids and codes only
	Timeout     time.Duration `yaml:"timeout" validate:"gte=0"`                                   // of one attempt; 10s
}

const (
	defaultTimeout = 10 * time.Second
	retryAfterMax  = 24 * time.Hour
	answerMax      = 64 << 10 // of an answer's header, and of its body, read only so that the connection can be used again
)

// webhook POSTs CloudEvents 1.0 (structured JSON), signed as Standard Webhooks 1.0.0 says. Redirects are not followed: they
// would carry a survivor's data wherever the answer points.
type webhook struct {
	name    string
	url     string
	keys    []signingKey
	thin    bool
	timeout time.Duration
	client  *http.Client
	now     func() time.Time
}

// NewWebhook checks the address and reads the secrets; nothing is called.
func NewWebhook(c WebhookConfig) (Sink, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("webhook sink %s: url is not an address", c.Name)
	}
	if u.User != nil {
		return nil, fmt.Errorf("webhook sink %s: url holds a user name or password; the signature identifies us", c.Name)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("webhook sink %s: only https beyond this machine; put a TLS proxy before it", c.Name)
	}
	w := &webhook{name: c.Name, url: c.URL, thin: c.Payload == "thin", timeout: c.Timeout, now: time.Now}
	if w.timeout == 0 {
		w.timeout = defaultTimeout
	}
	if c.Payload != "" && c.Payload != "full" && c.Payload != "thin" {
		return nil, fmt.Errorf("webhook sink %s: payload is neither full nor thin", c.Name)
	}
	if len(c.SecretFiles) == 0 {
		return nil, fmt.Errorf("webhook sink %s: secret_files is empty", c.Name)
	}
	for _, f := range c.SecretFiles {
		k, err := readSigningKey(f)
		if err != nil {
			return nil, fmt.Errorf("webhook sink %s: %w", c.Name, err)
		}
		w.keys = append(w.keys, k)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // a proxy taken from the environment by accident would see everything
	if u.Scheme == "https" {
		transport.Proxy = http.ProxyFromEnvironment // sees the host name only
	}
	transport.MaxResponseHeaderBytes = answerMax
	w.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (w *webhook) Name() string { return w.name }

// event is the CloudEvents 1.0 envelope.
type event struct {
	SpecVersion     string         `json:"specversion"`
	ID              string         `json:"id"`
	Source          string         `json:"source"`
	Type            string         `json:"type"`
	Time            time.Time      `json:"time"`
	DataContentType string         `json:"datacontenttype"`
	Data            jsontext.Value `json:"data"`
}

// thinData is what a thin delivery says: enough to look the rest up.
type thinData struct {
	ID      string `json:"id"`
	Event   string `json:"event"`
	Message string `json:"message,omitempty"`
	Thread  string `json:"thread,omitempty"`
	Code    string `json:"code,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Lane    string `json:"lane,omitempty"`
	From    string `json:"from,omitempty"`
	Overdue bool   `json:"overdue,omitzero"`
}

func (w *webhook) Deliver(ctx context.Context, d *Delivery) error {
	if err := checkID(d.ID); err != nil {
		return err
	}
	data := d.Data
	if w.thin {
		f := d.Attributes
		var err error
		if data, err = json.Marshal(thinData{ID: d.ID, Event: d.Event, Message: d.Message, Thread: d.Thread, Code: d.Code, Kind: f.Kind, Lane: f.Lane, From: f.From, Overdue: f.Overdue}); err != nil {
			return &Permanent{errors.New("encode webhook body")}
		}
	}
	body, err := json.Marshal(event{SpecVersion: "1.0", ID: d.ID, Source: "waypost:" + d.Agency, Type: d.Event, Time: d.Time,
		DataContentType: "application/json", Data: data})
	if err != nil {
		return &Permanent{errors.New("encode webhook body")}
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return &Permanent{errors.New("make webhook request")}
	}
	timestamp, signatures := signContent(w.keys, d.ID, w.now(), body)
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "waypost")
	req.Header.Set("webhook-id", d.ID)
	req.Header.Set("webhook-timestamp", timestamp)
	req.Header.Set("webhook-signature", signatures)
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("call webhook: %w", plainNetError(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, answerMax))
	return w.outcome(resp)
}

// outcome: 2xx is taken. 410 disables (Standard Webhooks). Everything else is tried again on the schedule: a 404 or 401 is
// most often a deployment that is not finished, and a referral must survive it; the dead letter at the end tells a person.
func (w *webhook) outcome(resp *http.Response) error {
	err := fmt.Errorf("webhook answered %d", resp.StatusCode)
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusGone:
		return &Disabled{err}
	}
	if after, ok := retryAfter(resp.Header.Get("Retry-After"), w.now()); ok {
		return &RetryAfter{After: after, Err: err}
	}
	return err
}

// retryAfter reads seconds or an HTTP date (RFC 9110 10.2.3), bounded: a system that says "next year" is asked tomorrow.
func retryAfter(v string, now time.Time) (time.Duration, bool) {
	if v == "" {
		return 0, false
	}
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, retryAfterMax), true
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), retryAfterMax), true
	}
	return 0, false
}

// plainNetError drops the address from a network error, and the answer: net/http quotes what it cannot parse, and a system
// may answer with what it was sent.
func plainNetError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return errors.New("no answer in time")
	}
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &op):
		return op.Err
	case errors.As(err, &cert):
		return errors.New("its certificate is not valid for this address, or its issuer is not known here")
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it hung up before it answered")
	}
	return errors.New("it did not answer in HTTP")
}
