package network

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// EnrolOptions is what an administrator adds to an agency's request.
type EnrolOptions struct {
	Name        string // overrides the name in the request
	Region      string
	DutyContact string
	Schemas     []string // what the agency's software understands; all that this release knows if empty
}

// Enrol admits an agency: it verifies the request's proofs, signs the directory entry and a new head, and returns the
// grant. The caller has compared the fingerprint with the agency by another way; this is the step that stops somebody
// who replaced the request in the mail.
//
// Enrolling the same request again returns a new grant and changes nothing, for a grant that was lost. Other keys for
// an agency that is known are refused: a change of keys is not an enrolment.
func (a *Authority) Enrol(req *directory.Request, role schemas.Role, o EnrolOptions) (*directory.Grant, error) {
	if req == nil {
		return nil, errors.New("enrol agency: no request")
	}
	if err := req.Verify(); err != nil {
		return nil, fmt.Errorf("enrol agency: %w", err)
	}
	if !schemas.Known(role) {
		return nil, hint(fmt.Errorf("enrol agency %s: unknown role", req.Agency), "one of: "+strings.Join(schemas.Codes("role"), ", "))
	}
	var grant *directory.Grant
	err := a.change(func() error {
		if err := a.enrol(req, role, o); err != nil {
			return err
		}
		var err error
		grant, err = a.grant(req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return grant, nil
}

func (a *Authority) enrol(req *directory.Request, role schemas.Role, o EnrolOptions) error {
	if known, ok := a.view.Agency(req.Agency); ok {
		if known.NATSKey == req.NATSKey && sameKey(known.SigningKeys, req.SigningKey) && sameKey(known.Recipients, req.Recipient) {
			if known.Role != role {
				return hint(fmt.Errorf("enrol agency %s: already enrolled with another role", req.Agency), "enrol with --role "+string(known.Role)+" to make its grant again")
			}
			if known.State == directory.StateSuspended {
				return hint(fmt.Errorf("enrol agency %s: it is suspended", req.Agency), "run `waypost network restore "+req.Agency+"` first")
			}
			return nil
		}
		return hint(fmt.Errorf("enrol agency %s: already enrolled with other keys", req.Agency), "somebody may be posing as this agency: ask it on a number you know; a new agency needs a new id")
	}
	for _, other := range a.view.Agencies() {
		if other.NATSKey == req.NATSKey || sameKey(other.SigningKeys, req.SigningKey) || sameKey(other.Recipients, req.Recipient) {
			return fmt.Errorf("enrol agency %s: a key of this request belongs to %s", req.Agency, other.ID)
		}
	}
	now := a.now().UTC().Truncate(time.Second)
	from := inForce(now)
	agency := directory.Agency{
		Type: directory.AgencyType, ID: req.Agency, Name: first(o.Name, req.Name, req.Agency), Role: role, Region: o.Region, State: directory.StateActive,
		NATSKey:     req.NATSKey,
		Recipients:  []directory.Key{{Key: req.Recipient, From: from}},
		SigningKeys: []directory.Key{{Key: req.SigningKey, From: from}},
		Schemas:     o.Schemas, DutyContact: o.DutyContact, Since: now,
	}
	if len(agency.Schemas) == 0 {
		agency.Schemas = schemas.KnownSchemas()
	}
	signed, err := directory.SignAgency(agency, a.keys.root)
	if err != nil {
		return fmt.Errorf("sign agency %s: %w", req.Agency, err)
	}
	// Before the commit: an account of an agency that is in no directory can do nothing but connect, and a repetition
	// after a crash finds it and uses it. The reverse order would leave an agency without an account.
	if _, err := readAccount(a.accountPath(req.Agency)); errors.Is(err, os.ErrNotExist) {
		claims, err := a.keys.agencyAccount(req.Agency, "", false, 1)
		if err != nil {
			return err
		}
		if err := a.keys.writeAccount(a.accountPath(req.Agency), claims); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := a.commit(map[string][]byte{directory.AgencyKey(req.Agency): signed}, a.config.HeadTTL()); err != nil {
		return err
	}
	if err := a.syncAccounts(); err != nil {
		return err
	}
	return a.refreshBundle()
}

// inForce is since when a key counts that is listed now. No two clocks agree: an agency whose clock is behind ours would sign its
// first messages before its key was in force, and they would be taken for forged. It gets what a clock that is ahead gets
// (envelope.MaxSkew). Nobody gains by it: nobody can have sent anything under a key that no directory listed.
func inForce(listed time.Time) time.Time { return listed.Add(-envelope.MaxSkew) }

func (a *Authority) grant(req *directory.Request) (*directory.Grant, error) {
	account, err := readAccount(a.accountPath(req.Agency))
	if err != nil {
		return nil, fmt.Errorf("make grant: %w", err)
	}
	token, err := a.keys.userJWT(req.Agency, req.NATSKey, account.Subject)
	if err != nil {
		return nil, err
	}
	ca, err := a.config.caPEM(a.dir)
	if err != nil {
		return nil, err
	}
	return &directory.Grant{
		Type: directory.GrantType, Agency: req.Agency,
		NATSKey: req.NATSKey, SigningKey: req.SigningKey, Recipient: req.Recipient,
		UserJWT: token, Root: a.keys.rootPublic, Network: a.config.Name, URLs: a.config.URLs, CA: ca,
		Issued: a.now().UTC().Truncate(time.Second),
	}, nil
}

// Suspend closes an agency's account and marks it in the directory. Publishing ends its live connections, and other
// agencies stop sending to it. Restore undoes it; the agency needs no new grant. Both change nothing if it is so already.
func (a *Authority) Suspend(id string) error { return a.setState(id, directory.StateSuspended) }

// Restore readmits a suspended agency; see Suspend.
func (a *Authority) Restore(id string) error { return a.setState(id, directory.StateActive) }

func (a *Authority) setState(id string, state directory.State) error {
	return a.change(func() error {
		known, ok := a.view.Agency(id)
		if !ok {
			return hint(fmt.Errorf("agency %s: %w", id, ErrNotFound), "`waypost network list` shows the agencies")
		}
		if known.State == state {
			return nil
		}
		agency := *known
		agency.State = state
		signed, err := directory.SignAgency(agency, a.keys.root)
		if err != nil {
			return fmt.Errorf("sign agency %s: %w", id, err)
		}
		if err := a.commit(map[string][]byte{directory.AgencyKey(id): signed}, a.config.HeadTTL()); err != nil {
			return err
		}
		return a.syncAccounts()
	})
}

// Renew signs the head again with the entries unchanged, valid for ttl, or as long as the configuration says if ttl is 0.
func (a *Authority) Renew(ttl time.Duration) error {
	return a.change(func() error {
		if ttl == 0 {
			ttl = a.config.HeadTTL()
		}
		if ttl < time.Minute || ttl > 366*24*time.Hour {
			return errors.New("sign directory: the head must be valid between a minute and a year")
		}
		return a.commit(nil, ttl)
	})
}

// SignHead signs the head as of now, which need not be this machine's time: a head that is already expired shows what
// agents do with one.
func (a *Authority) SignHead(now time.Time) error {
	return a.change(func() error { return a.commitAt(nil, now, a.config.HeadTTL()) })
}

func sameKey(keys []directory.Key, key string) bool {
	return slices.ContainsFunc(keys, func(k directory.Key) bool { return k.Key == key })
}

func first(values ...string) string {
	for _, v := range values {
		if strings.TrimSpace(v) != "" {
			return v
		}
	}
	return ""
}
