package network

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"waypost/schemas"
	"waypost/schemas/ledger"
)

// AskRedelivery asks an agency, in the root's name, to route again what it received since a time, and returns the id of the
// act. The request is a record of the ledger before it reaches the agency, whose policy may refuse it; the answer is one too.
func (a *Authority) AskRedelivery(ctx context.Context, url, agency string, since time.Time) (string, error) {
	id := ""
	err := a.change(func() error {
		if _, ok := a.view.Agency(agency); !ok {
			return hint(fmt.Errorf("ask %s: it is not in the directory", agency), "`waypost network list` shows who is")
		}
		now := a.now()
		if !since.Before(now) {
			return hint(errors.New("ask for redelivery: the time lies in the future"), "give the time since which the agency's system lost what it had")
		}
		act := ledger.Act{ID: schemas.NewMessageID(), Act: ledger.ActRedeliver, At: now, Agency: agency, Since: &since}
		if err := a.record(ctx, url, act); err != nil {
			return err
		}
		id = act.ID
		return nil
	})
	return id, err
}

// RecordRestored says in the root's name that the broker was restored from a backup: that its ledger's first records, with
// this root hash, are as they were, and that up to lost records there had been. It returns the id of the act. Agencies that
// saw the ledger become shorter accept that with it, if what they remember agrees.
func (a *Authority) RecordRestored(ctx context.Context, url string, records, lost int64, root string) (string, error) {
	id := ""
	err := a.change(func() error {
		act := ledger.Act{ID: schemas.NewMessageID(), Act: ledger.ActRestored, At: a.now(), Records: records, Lost: lost, Root: root}
		if err := a.record(ctx, url, act); err != nil {
			return err
		}
		id = act.ID
		return nil
	})
	return id, err
}

// record signs an act with the root's key and has the notary append it. The caller holds the folder's lock.
func (a *Authority) record(ctx context.Context, url string, act ledger.Act) error {
	signed, err := ledger.SignAct(act, a.keys.root)
	if err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	nc, err := a.connect(ctx, url, "admin.creds", "administrator")
	if err != nil {
		return err
	}
	defer nc.Close()
	m, err := nc.RequestWithContext(ctx, ledger.ServiceSubject(ledger.VerbAct, "administrator"), signed)
	if errors.Is(err, nats.ErrNoResponders) {
		return hint(errors.New("record request: no notary answers"), "is `waypost broker run` running?")
	}
	if err != nil {
		return fmt.Errorf("record request: %w", err)
	}
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return fmt.Errorf("record request: the ledger answered %s: %s", code, m.Header.Get("Nats-Service-Error"))
	}
	return nil
}

// ReadConfig reads what network.yaml says, without keys.
func ReadConfig(dir string) (*Config, error) { return readConfig(dir) }
