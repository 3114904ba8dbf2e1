// Package network is the membership authority of one Waypost network: it holds the root key and the NATS operator,
// admits agencies, signs the directory and publishes both to a broker. It can read no message: it has no age key.
//
// Everything is in one folder, so that an administrator can keep it on an encrypted stick and prepare changes offline:
//
//	network.yaml      what people may edit: name, broker addresses, lifetime of the directory head
//	keys/             private keys, 0600: root.key, operator.nk, network.nk, agency.nk, admin.creds, system.creds, auditor.creds,
//	                  restorer.creds
//	jwt/              what NATS must know: operator.jwt, system.jwt, network.jwt, auditor.jwt, agencies/<id>.jwt
//	directory/        the signed notes exactly as they are published; the head is the commit point
//	broker/           the bundle a broker needs, and no more; safe to copy to the broker's machine. The ledger's key, log.key,
//	                  is there and nowhere else
//
// The account layout is explained in claims.go.
package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/directory"
)

// DefaultHeadTTL is how long a signed directory head is valid. An administrator on holiday must not stop a network, and
// a broker that keeps a suspended agency in by serving an old directory must be found out.
const DefaultHeadTTL = 30 * 24 * time.Hour

// Options are what Init needs to know.
type Options struct {
	Name    string        // the network's name, for people
	URLs    []string      // where agencies reach the broker; the first one is used to publish
	CA      string        // path of a PEM file with the broker's CA, if agencies' systems do not know it
	HeadTTL time.Duration // DefaultHeadTTL if zero
	Now     func() time.Time
}

// Authority is an opened network folder. Its methods may be called concurrently, also by several processes on one
// folder: each change takes the folder's lock, reads the folder again, and either commits wholly or leaves it as it was.
type Authority struct {
	dir string
	now func() time.Time

	mu     sync.Mutex
	config Config
	keys   *keyring
	view   *directory.View
	head   []byte
	notes  map[string][]byte // directory key → signed note
}

// Init makes a new network in dir, which must not hold one. Nothing is left behind if it fails half way but files
// that a second Init in the same folder replaces: network.yaml is written last and marks the folder as a network.
func Init(dir string, o Options) (*Authority, error) {
	cfg, err := newConfig(dir, o)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"", "keys", "jwt", "jwt/agencies", "directory", "broker"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("make network folder: %w", err)
		}
	}
	unlock, err := lock(dir, changeWait)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(dir, configFile)); err == nil {
		return nil, hint(fmt.Errorf("make network: %s already holds one", dir), "choose another --dir; a network's keys are never overwritten")
	}
	a := &Authority{dir: dir, now: clock(o.Now), config: *cfg, notes: map[string][]byte{}}
	if a.keys, err = newKeyring(dir, cfg.Name); err != nil {
		return nil, err
	}
	if err := a.keys.writeClaims(); err != nil {
		return nil, err
	}
	entry, err := a.keys.newLog(a.now())
	if err != nil {
		return nil, err
	}
	if err := a.commit(map[string][]byte{directory.LogKey: entry}, cfg.HeadTTL()); err != nil {
		return nil, err
	}
	if err := a.refreshBundle(); err != nil {
		return nil, err
	}
	if err := cfg.write(dir); err != nil {
		return nil, err
	}
	return a, nil
}

// Open reads a network folder and verifies its directory against its own root key, so that a folder that was damaged
// or edited by hand is noticed before anything is signed on top of it. An interrupted change is completed or undone.
func Open(dir string) (*Authority, error) {
	a := &Authority{dir: dir, now: time.Now}
	unlock, err := lock(dir, changeWait)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := a.load(); err != nil {
		return nil, err
	}
	return a, nil
}

// load reads the folder. The lock is held.
func (a *Authority) load() error {
	cfg, err := readConfig(a.dir)
	if err != nil {
		return err
	}
	if a.keys == nil {
		if a.keys, err = readKeyring(a.dir, cfg.Name); err != nil {
			return err
		}
	}
	a.config = *cfg
	if err := a.recoverDirectory(); err != nil {
		return err
	}
	// The same call that ends every change: a process killed between the head and the account claims is caught up here.
	return a.syncAccounts()
}

// change runs f under the folder's lock on freshly read state.
func (a *Authority) change(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	unlock, err := lock(a.dir, changeWait)
	if err != nil {
		return err
	}
	defer unlock()
	if err := a.load(); err != nil {
		return err
	}
	return f()
}

// Dir is the network folder; BrokerBundle is the folder inside it that a broker is started with (`bundle:` of its
// configuration). It holds public claims, the public root key and the credentials of the broker's own user; it cannot
// be used to admit anybody or to sign a directory.
func (a *Authority) Dir() string          { return a.dir }
func (a *Authority) BrokerBundle() string { return filepath.Join(a.dir, "broker") }

// Config is a copy of what network.yaml says.
func (a *Authority) Config() Config {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config
}

// SetURLs records where agencies reach the broker. It goes into grants, not into the directory.
func (a *Authority) SetURLs(urls ...string) error {
	return a.change(func() error {
		cfg := a.config
		cfg.URLs = append([]string(nil), urls...)
		if err := cfg.check(); err != nil {
			return err
		}
		if err := cfg.write(a.dir); err != nil {
			return err
		}
		a.config = cfg
		return nil
	})
}

// Root is the public key that every directory entry of this network is verified with.
func (a *Authority) Root() note.Verifier { return a.keys.rootVerifier }

// RootKey is Root in the text form that grants carry.
func (a *Authority) RootKey() string { return a.keys.rootPublic }

// Fingerprint is Root as two people compare it over the telephone before an agency joins.
func (a *Authority) Fingerprint() string { return directory.RootFingerprint(a.keys.rootPublic) }

// View is the directory as last committed in this folder, which may be newer than what the broker serves.
func (a *Authority) View() *directory.View {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.view
}

// PublishIfReachable publishes to the first configured address if something answers there within a short time.
// published is false with a nil error if nothing answers: the change is kept in the folder, and `waypost network
// publish` sends it later.
func (a *Authority) PublishIfReachable(ctx context.Context) (published bool, err error) {
	urls := a.Config().URLs
	if len(urls) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = a.Publish(ctx, urls[0])
	if errors.Is(err, ErrUnreachable) {
		return false, nil
	}
	return err == nil, err
}

func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}
