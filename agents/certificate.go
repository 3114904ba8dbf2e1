package agents

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"waypost/agents/api"
	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
)

// certificate is a verified consent certificate and its signed text.
type certificate struct {
	*consent.Certificate
	text  string
	new   bool
	marks *store.Marks // what was said about it
}

// gather makes the certificate for a consent recorded with this submission and finds the ones it names.
func (a *Agent) gather(ctx context.Context, o *outgoing, s *schemas.Submission, now time.Time) ([]certificate, error) {
	dir := o.dir
	consented := o.manifest.Basis == string(schemas.BasisConsent)
	if s.Thread != "" {
		// A thread continues: what is passed on goes under the certificates that came with it, and no others. A certificate
		// of another thread may be another survivor's.
		known, certificates, err := a.store.ThreadCertificates(ctx, s.Thread)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, refuse("unknown-thread", "This agent has no message of the thread to continue.", "Leave \"thread\" out for a new referral.",
				schemas.Problem{Path: "/thread", Rule: "known"})
		}
		if certificates, err = a.renewed(ctx, certificates); err != nil {
			return nil, err
		}
		for i, id := range s.Certificates {
			if !slices.Contains(certificates, id) {
				return nil, refuse("foreign-certificate", "A certificate that the submission names belongs to another thread.", "Name one that came with this thread, or none.",
					schemas.Problem{Path: "/certificates/" + strconv.Itoa(i), Rule: "thread"})
			}
		}
		if s.Consent == nil && len(s.Certificates) == 0 && consented {
			return a.held(ctx, dir, certificates)
		}
	}
	if s.Consent == nil {
		held, err := a.held(ctx, dir, s.Certificates)
		for i, c := range held {
			if s.Thread == "" && c.Issuer != a.cfg.Agency {
				return nil, refuse("foreign-certificate", "A certificate that another agency took is used only in the thread that it came with.", "Name the thread in \"thread\".",
					schemas.Problem{Path: "/certificates/" + strconv.Itoa(i), Rule: "thread"})
			}
		}
		return held, err
	}
	signed, err := a.certify(*s.Consent, "", now)
	if err != nil {
		return nil, err
	}
	held, err := a.held(ctx, dir, s.Certificates)
	if err != nil {
		return nil, err
	}
	return append([]certificate{*signed}, held...), nil
}

// renewed adds to certificates those that replaced them: a thread goes on under what the survivor agreed to last.
func (a *Agent) renewed(ctx context.Context, ids []string) ([]string, error) {
	for i := 0; i < len(ids); i++ {
		kept, err := a.store.Certificate(ctx, ids[i])
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		marks, err := a.store.Marks(ctx, ids[i])
		if err != nil {
			return nil, err
		}
		for _, n := range marks.Newer {
			if n.Issuer == kept.Issuer && !slices.Contains(ids, n.ID) {
				ids = append(ids, n.ID)
			}
		}
	}
	return ids, nil
}

// held opens certificates that this agent keeps.
func (a *Agent) held(ctx context.Context, dir *directory.View, ids []string) ([]certificate, error) {
	var out []certificate
	for _, id := range ids {
		kept, err := a.store.Certificate(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, refuse("unknown-certificate", "This agent does not hold a certificate that the submission names.",
				"GET /v1/inbox/{id} lists the certificates that came with a message.",
				schemas.Problem{Path: "/certificates", Rule: "held", Hint: "A certificate id that this agent received or made."})
		}
		if err != nil {
			return nil, err
		}
		text, err := a.vault.Unlock(id, kept.Locked)
		if err != nil {
			return nil, err
		}
		c, err := intake.OpenCertificate(dir, string(text))
		if err != nil {
			return nil, refuse("consent-unverified", "A certificate is no longer verifiable with its issuer's key.", "Ask the issuing agency for a new one.")
		}
		marks, err := a.store.Marks(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, certificate{Certificate: c, text: string(text), marks: marks})
	}
	return out, nil
}

// certify signs what a survivor agreed to.
func (a *Agent) certify(c schemas.Consent, supersedes string, now time.Time) (*certificate, error) {
	c.Fill(now)
	cert := consent.Certificate{ID: consent.NewID(), Issuer: a.cfg.Agency, Issued: now, Supersedes: supersedes, Consent: c}
	signed, text, err := consent.Issue(cert, a.vault.Signer())
	if err != nil {
		return nil, &api.Error{Status: http.StatusUnprocessableEntity, Code: "invalid-consent", Sentence: "The consent cannot be made into a certificate.", Cause: err}
	}
	return &certificate{Certificate: signed, text: text, new: true, marks: &store.Marks{}}, nil
}
