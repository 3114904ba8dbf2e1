package vault

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// errSecret is all that an encoder gets.
var errSecret = errors.New("a vault is not written out")

// The methods below have value receivers, so that neither a Vault nor a pointer to one, also inside another struct that is
// printed, falls back to printing its fields.

// Format prints the agency's id for every verb.
func (v Vault) Format(f fmt.State, _ rune) { io.WriteString(f, "vault("+v.agency+")") }

// String is the agency's id.
func (v Vault) String() string { return "vault(" + v.agency + ")" }

// LogValue is the agency's id.
func (v Vault) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText refuses.
func (v Vault) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalJSON refuses.
func (v Vault) MarshalJSON() ([]byte, error) { return nil, errSecret }

// GobEncode refuses.
func (v Vault) GobEncode() ([]byte, error) { return nil, errSecret }
