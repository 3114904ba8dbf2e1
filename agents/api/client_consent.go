package api

import (
	"context"
	"net/http"
	"net/url"
)

// Consents lists consents.
func (c *Client) Consents(ctx context.Context) ([]ConsentItem, error) {
	return getItems[ConsentItem](ctx, c, "/v1/consents", 0, 0, nil)
}

// Consent shows one.
func (c *Client) Consent(ctx context.Context, id string) (*ConsentDetail, error) {
	return get[ConsentDetail](ctx, c, "/v1/consents/"+url.PathEscape(id))
}

// Withdraw ends a consent, or asks the agency that took it to.
func (c *Client) Withdraw(ctx context.Context, id string) (*ConsentDetail, error) {
	return c.aboutConsent(ctx, id, "withdraw", nil)
}

// Stands says that a request to withdraw was a mistake.
func (c *Client) Stands(ctx context.Context, id string) (*ConsentDetail, error) {
	return c.aboutConsent(ctx, id, "stands", nil)
}

// Replace renews or narrows a consent; document is a consent record.
func (c *Client) Replace(ctx context.Context, id string, document []byte) (*ConsentDetail, error) {
	return c.aboutConsent(ctx, id, "replace", document)
}

// Answer says what this agency did after a withdrawal.
func (c *Client) Answer(ctx context.Context, id string, document []byte) (*ConsentDetail, error) {
	return c.aboutConsent(ctx, id, "answer", document)
}

func (c *Client) aboutConsent(ctx context.Context, id, what string, document []byte) (*ConsentDetail, error) {
	var d ConsentDetail
	return &d, c.do(ctx, http.MethodPost, "/v1/consents/"+url.PathEscape(id)+"/"+what, document, "", &d)
}
