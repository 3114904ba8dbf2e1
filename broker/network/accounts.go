package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"

	"github.com/nats-io/jwt/v2"

	"waypost/schemas/directory"
)

func (a *Authority) accountPath(id string) string {
	return a.keys.path("jwt", "agencies", id+".jwt")
}

// syncAccounts makes the NATS claims say what the directory says: an account for every agency, closed if it is
// suspended. It is run after every change and whenever the folder is opened, so that a crash between the two, or claims
// written by an older release with other permissions, are caught up with. The lock is held.
func (a *Authority) syncAccounts() error {
	renew := func(path string, have, want *jwt.AccountClaims) error {
		same, err := sameAccount(have, want)
		if err != nil || same {
			return err
		}
		want.Tags = nil
		setVersion(want, AccountVersion(have)+1)
		return a.keys.writeAccount(path, want)
	}
	path := a.keys.path("jwt", "network.jwt")
	have, err := readAccount(path)
	if err != nil {
		return hint(fmt.Errorf("read network account: %w", err), "restore the folder from a backup")
	}
	if err := renew(path, have, a.keys.networkAccount(AccountVersion(have))); err != nil {
		return err
	}
	path = a.keys.path("jwt", "auditor.jwt")
	if have, err = readAccount(path); err != nil {
		return hint(fmt.Errorf("read auditor account: %w", err), "restore the folder from a backup")
	}
	if err := renew(path, have, a.keys.auditorAccount(have.Subject, AccountVersion(have))); err != nil {
		return err
	}
	for _, agency := range a.view.Agencies() {
		have, err := readAccount(a.accountPath(agency.ID))
		if err != nil {
			// A missing file is not made anew here: that would be a new account, and the agency's grant would be void.
			return hint(fmt.Errorf("read account of %s: %w", agency.ID, err), "restore the folder from a backup")
		}
		want, err := a.keys.agencyAccount(agency.ID, have.Subject, agency.State == directory.StateSuspended, AccountVersion(have))
		if err != nil {
			return err
		}
		if err := renew(a.accountPath(agency.ID), have, want); err != nil {
			return err
		}
	}
	// Always: a crash may have come between the claims and the bundle that holds them.
	return a.refreshBundle()
}

// sameAccount compares what claims grant, without issue time and id.
func sameAccount(a, b *jwt.AccountClaims) (bool, error) {
	// Signing keys and imports are compared as the server will read them: signing sorts imports and exports.
	for _, c := range []*jwt.AccountClaims{a, b} {
		sort.Sort(c.Imports)
		sort.Sort(c.Exports)
	}
	was, is := a.Account, b.Account
	is.Type, is.Version = was.Type, was.Version // set by signing
	x, err := json.Marshal(&was)
	if err != nil {
		return false, fmt.Errorf("compare account claims: %w", err)
	}
	y, err := json.Marshal(&is)
	if err != nil {
		return false, fmt.Errorf("compare account claims: %w", err)
	}
	return bytes.Equal(x, y), nil
}
