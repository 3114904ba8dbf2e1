package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/schemas/directory"
)

// Publish sends this folder's state to the broker at url: first the accounts of suspended agencies, so that a suspension takes
// effect before anything else, then the changed directory entries, then the head that makes them valid. A reader that sees
// entries without their head keeps what it had. Last come the other agencies' accounts: one that is let in before the others can
// know of it, new or restored, has what it sends set aside, and an old copy of this folder lets nobody in again. It may be
// repeated, also after it failed in the middle.
//
// It refuses to replace a directory that is newer than this folder's: then the folder is an old copy.
// ErrUnreachable means that nothing was sent.
func (a *Authority) Publish(ctx context.Context, url string) error {
	return a.change(func() error {
		first := []string{a.keys.path("jwt", "network.jwt"), a.keys.path("jwt", "auditor.jwt")}
		var last []string
		for _, agency := range a.view.Agencies() {
			if agency.State == directory.StateActive {
				last = append(last, a.accountPath(agency.ID))
			} else {
				first = append(first, a.accountPath(agency.ID))
			}
		}
		if err := a.pushAccounts(ctx, url, first); err != nil {
			return err
		}
		if err := a.putDirectory(ctx, url); err != nil {
			return err
		}
		return a.pushAccounts(ctx, url, last)
	})
}

// connect opens a connection that is used for a few requests and closed: no reconnect, short waits.
func (a *Authority) connect(ctx context.Context, url, credentials, inbox string) (*nats.Conn, error) {
	o := []nats.Option{
		nats.UserCredentials(a.keys.path("keys", credentials)),
		nats.CustomInboxPrefix("_INBOX_" + inbox), nats.Name("waypost network"),
		nats.NoReconnect(), nats.Timeout(3 * time.Second),
	}
	if a.config.CA != "" {
		o = append(o, nats.RootCAs(a.config.CA))
	}
	if dl, ok := ctx.Deadline(); ok && time.Until(dl) < 3*time.Second {
		o = append(o, nats.Timeout(max(time.Until(dl), time.Millisecond)))
	}
	nc, err := nats.Connect(url, o...)
	switch {
	case err == nil:
		return nc, nil
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), strings.Contains(err.Error(), "Authorization"), strings.Contains(err.Error(), "x509"), strings.Contains(err.Error(), "tls:"):
		return nil, hint(fmt.Errorf("connect to broker: %w", err), "does this broker run with this network's bundle, and does `ca` name its CA?")
	default:
		return nil, fmt.Errorf("connect to broker: %w: %w", ErrUnreachable, err)
	}
}

// pushAccounts updates the broker's account claims from files, but only those that differ: a server that is told claims anew forgets
// which of the account's clients wait for mail, and an urgent referral would lie there until they ask again.
func (a *Authority) pushAccounts(ctx context.Context, url string, files []string) error {
	nc, err := a.connect(ctx, url, "system.creds", "publisher")
	if err != nil {
		return err
	}
	defer nc.Close()
	for _, f := range files {
		token, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("publish accounts: %w", err)
		}
		if err := pushAccount(ctx, nc, bytes.TrimSpace(token)); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether the broker has exactly these claims. Whatever goes wrong is a no: pushing them is always right.
func holds(ctx context.Context, nc *nats.Conn, token []byte) bool {
	claims, err := jwt.DecodeAccountClaims(string(token))
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "$SYS.REQ.ACCOUNT."+claims.Subject+".CLAIMS.LOOKUP", nil)
	return err == nil && bytes.Equal(bytes.TrimSpace(m.Data), token)
}

func pushAccount(ctx context.Context, nc *nats.Conn, token []byte) error {
	if holds(ctx, nc, token) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "$SYS.REQ.CLAIMS.UPDATE", token)
	if errors.Is(err, nats.ErrNoResponders) {
		return hint(errors.New("publish accounts: the broker does not take account claims"), "an external NATS server needs `resolver: { type: full }`")
	}
	if err != nil {
		return fmt.Errorf("publish accounts: %w", err)
	}
	var answer struct {
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("publish accounts: read answer: %w", err)
	}
	if answer.Error != nil {
		return fmt.Errorf("publish accounts: broker answered %d: %s", answer.Error.Code, answer.Error.Description)
	}
	return nil
}

func (a *Authority) putDirectory(ctx context.Context, url string) error {
	nc, err := a.connect(ctx, url, "admin.creds", "administrator")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("publish directory: %w", err)
	}
	kv, err := bucket(ctx, js)
	if err != nil {
		return hint(fmt.Errorf("publish directory: %w", err), "the broker has no directory bucket yet: run `waypost broker run`, with --nats for an external NATS, once")
	}
	served, err := get(ctx, kv, directory.HeadKey)
	if err != nil {
		return err
	}
	// Only a head that our own root signed counts; anything else there is replaced.
	if h, err := directory.OpenHead(a.keys.rootVerifier, served); err == nil && h.Version > a.view.Head().Version {
		return hint(fmt.Errorf("publish directory: the broker serves version %d, this folder holds %d", h.Version, a.view.Head().Version),
			"this folder is an old copy: work in the newest one, or agencies will refuse the directory")
	}
	keys := make([]string, 0, len(a.notes))
	for key := range a.notes {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range append(keys, directory.HeadKey) {
		want := a.notes[key]
		if key == directory.HeadKey {
			want = a.head
		}
		have, err := get(ctx, kv, key)
		if err != nil {
			return err
		}
		if bytes.Equal(have, want) {
			continue
		}
		if _, err := answered(ctx, func(ctx context.Context) (uint64, error) { return kv.Put(ctx, key, want) }); err != nil {
			return fmt.Errorf("publish directory entry: %w", err)
		}
	}
	return nil
}

// bucket waits for a broker that has just been started and is still making its streams.
func bucket(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for {
		kv, err := js.KeyValue(ctx, "DIRECTORY")
		if err == nil || !errors.Is(err, jetstream.ErrBucketNotFound) {
			return kv, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// answerWithin bounds one request: a cluster that has lost its majority does not answer at all.
const answerWithin = 10 * time.Second

func answered[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return ask(ctx)
}

// get returns nil for a key that is not there.
func get(ctx context.Context, kv jetstream.KeyValue, key string) ([]byte, error) {
	e, err := answered(ctx, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return kv.Get(ctx, key) })
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrKeyDeleted) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read published directory: %w", err)
	}
	return e.Value(), nil
}
