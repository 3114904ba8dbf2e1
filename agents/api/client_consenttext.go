package api

import (
	"context"
	"net/url"
)

// ConsentText fetches the signed text of a consent certificate that the agency holds.
func (c *Client) ConsentText(ctx context.Context, id string) (string, error) {
	held, err := get[struct {
		Text string `json:"text"`
	}](ctx, c, "/v1/consents/"+url.PathEscape(id))
	if err != nil {
		return "", err
	}
	return held.Text, nil
}
