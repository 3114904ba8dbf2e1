// Package intake decides what happens to a received envelope: verify → open → decode → validate → agreement and consent →
// inbox or quarantine, and says so to the sender with a signed receipt.
//
// It is the one place that decides a message's fate (see Fate). Nothing in an envelope is trusted before the signature of
// the agency that the broker's subject names has been verified with a key that the directory lists for it, and the sealed
// header has been found equal to the signed manifest.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Message is what came from a mail stream.
type Message struct {
	Subject   string
	Data      []byte
	StreamSeq uint64
	Stored    time.Time // when the broker stored it, by the broker's clock; zero: unknown
}

// Fate is what becomes of a message on the broker's side.
type Fate int

const (
	// Settled: decided and on disk (inbox, quarantine, refused or a repeat). Acknowledge it.
	Settled Fate = iota
	// Later: nothing was stored, and the reason can pass: a full disk, an expired directory. Ask for it again.
	Later
)

// Verdict is one message's fate and why.
type Verdict struct {
	Fate  Fate
	Delay time.Duration
	Code  string
}

// Codes that intake adds to those of envelope, directory and consent. They travel in receipts and stand in the history:
// machine-readable, never text of a payload.
const (
	CodeSubject             = "subject-mismatch"
	CodeHeader              = "header-mismatch"
	CodeNotForUs            = "not-for-us"
	CodeCorrupt             = "cannot-open"
	CodePayload             = "invalid-payload"
	CodeSchema              = "unknown-schema"
	CodeUnknownMessage      = "unknown-message"
	CodeUrgency             = "urgency-mismatch"
	CodeBasis               = "basis-mismatch"
	CodeExpiredHead         = "directory-expired"
	CodeIDTaken             = "id-taken"
	CodeCertificateConflict = "certificate-conflict"
	CodeDirectory           = "directory-unavailable"
	CodeNoDirectory         = "directory-missing"
	CodeOwnClock            = "own-clock-behind"
	CodeStoreFull           = "store-full"
	CodeStore               = "store-unavailable"
	CodeConsentUnverified   = "consent-unverified"
	CodeReplay              = "replay"
	CodeUnknownReceipts     = "unknown-receipt"
)

// Intake is safe for concurrent use: one call per mail stream runs beside the others.
type Intake struct {
	Agency    string
	Vault     *vault.Vault
	Store     *store.Store
	Directory func() *directory.View              // nil until a directory was ever seen
	Refresh   func(context.Context) (bool, error) // asks for a newer directory now; true when one came
	Emit      *Emitter
	Registry  *Registry
	Timers    *Timekeeper
	Met       func(checkpoint string) // told what a sender has seen of the ledger; may be nil
	Now       func() time.Time
	Log       *slog.Logger
}

// Handle decides a batch and stores all of it in one transaction. Every message has a verdict; what is Settled is on disk
// before Handle returns. When the shared transaction fails each message is tried alone, so that one cannot hold up the
// rest.
func (in *Intake) Handle(ctx context.Context, batch []Message) []Verdict {
	plans := make([]*plan, len(batch))
	var wg sync.WaitGroup
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range batch {
		wg.Add(1)
		limit <- struct{}{}
		go func() {
			defer func() { <-limit; wg.Done() }()
			plans[i] = in.examine(batch[i])
		}()
	}
	wg.Wait()
	in.lookAgain(ctx, batch, plans)

	out := make([]Verdict, len(batch))
	var apply []int
	behind := false
	for i, p := range plans {
		if p.later != "" {
			out[i] = Verdict{Fate: Later, Delay: 5 * time.Second, Code: p.later}
			behind = behind || p.later == CodeOwnClock
			continue
		}
		apply = append(apply, i)
	}
	if behind {
		in.Log.Warn("this machine's clock is behind the broker's and the senders'; mail waits until it is set", "code", CodeOwnClock)
	}
	if len(apply) == 0 {
		return out
	}
	err := in.apply(ctx, plans, apply)
	if err == nil {
		for _, i := range apply {
			out[i] = Verdict{Code: plans[i].verdict}
		}
		return out
	}
	for _, i := range apply {
		if len(apply) > 1 {
			err = in.apply(ctx, plans, []int{i})
		}
		if err == nil {
			out[i] = Verdict{Code: plans[i].verdict}
			continue
		}
		code := CodeStore
		if errors.Is(err, store.ErrFull) {
			code = CodeStoreFull
		}
		in.Log.Error("message not stored, asking for it again", "code", code, "message", plans[i].manifest.ID, "err", err)
		out[i] = Verdict{Fate: Later, Delay: 5 * time.Second, Code: code}
	}
	return out
}

// lookAgain re-examines what was refused on the directory's word, if a newer directory can be had: an agency that joined, or
// changed its key, a minute ago must not be set aside because our copy is two minutes old.
func (in *Intake) lookAgain(ctx context.Context, batch []Message, plans []*plan) {
	if in.Refresh == nil {
		return
	}
	var again []int
	for i, p := range plans {
		switch p.code {
		case directory.CodeUnknownAgency, directory.CodeSuspendedAgency, directory.CodeNoAgreement, directory.CodeAgreementPurpose,
			directory.CodeAgreementCategory, envelope.CodeBadSignature, CodeConsentUnverified:
			again = append(again, i)
		}
		if p.later == CodeExpiredHead {
			again = append(again, i)
		}
	}
	if len(again) == 0 {
		return
	}
	changed, err := in.Refresh(ctx)
	for _, i := range again {
		if err != nil {
			if plans[i].later != "" {
				continue
			}
			// Nobody knows whether a newer directory would let it in, and a quarantined id is spent: it comes again.
			plans[i].later = CodeDirectory
			continue
		}
		if !changed && in.Directory() == plans[i].dir {
			continue // a directory that came by itself between the first look and Refresh is a newer one too
		}
		plans[i] = in.examine(batch[i])
	}
}

func (in *Intake) apply(ctx context.Context, plans []*plan, which []int) error {
	update := in.Store.Update
	switch plans[which[0]].lane { // a batch is of one lane
	case schemas.LaneUrgent:
		update = in.Store.UpdateUrgent
	case schemas.LaneReceipt:
		update = in.Store.UpdateAhead
	}
	return update(ctx, func(tx *store.Tx) error {
		for _, i := range which {
			if err := in.settle(tx, plans[i]); err != nil {
				return fmt.Errorf("settle message %s: %w", plans[i].manifest.ID, err)
			}
		}
		return nil
	})
}

// addressee splits mail.<lane>.<to>.<from>. The broker enforces <from>: it is who connected, whatever the manifest says.
func addressee(subject string) (lane schemas.Lane, to, from string) {
	t := strings.Split(subject, ".")
	if len(t) != 4 || t[0] != "mail" {
		return "", "", ""
	}
	return schemas.Lane(t[1]), t[2], t[3]
}

// codeOf names the reason of a refusal for receipts and history.
func codeOf(err error) string {
	var e *envelope.Error
	var d *directory.Error
	switch {
	case errors.As(err, &e):
		return e.Code
	case errors.As(err, &d):
		return d.Code
	case errors.Is(err, vault.ErrNotForMe):
		return CodeNotForUs
	case errors.Is(err, vault.ErrCorrupt):
		return CodeCorrupt
	}
	return envelope.CodeMalformed
}
