package consentpage

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"

	"waypost/schemas"
	"waypost/schemas/consent"
)

// given is a certificate in which everything that must not be printed begins with canary or is an id.
func given() *consent.Certificate {
	at := time.Date(2026, time.March, 1, 9, 30, 0, 0, time.UTC)
	yes := true
	return &consent.Certificate{
		Type: consent.CertificateType, ID: "2f1f5a3e-8d52-4c6b-9f5f-0f9a6c3d71be", Issuer: "canary-police", Issued: at,
		Consent: schemas.Consent{
			Survivor:   "canary-blue-heron-17",
			Purposes:   []schemas.Purpose{schemas.PurposeImmediateSafety, schemas.PurposeAccommodation, schemas.PurposeHealthCare},
			Categories: []schemas.Category{schemas.CategoryIdentity, schemas.CategoryHealth, schemas.CategoryRisk, schemas.CategorySupportNeeds},
			Recipients: schemas.Recipients{Agencies: []string{"canary-house", "canary-lantern"}, Classes: []schemas.RecipientClass{{Role: schemas.RoleHealth}, {Role: schemas.RolePolice}}},
			Onward:     schemas.OnwardNamed, Form: schemas.ConsentFormSigned, Language: "vi", Capacity: schemas.CapacityHasCapacity,
			Present: schemas.PresentSurvivor, ExplainedBy: "canary navigator", WithdrawalExplained: true, FreeOfPressure: &yes,
			Words: "canary words of the survivor", NoticeVersion: "canary-notice-3", Jurisdiction: "GB",
			Withheld: []schemas.Withheld{{From: schemas.WithheldFromFamily, Reason: schemas.WithheldFear}, {From: schemas.WithheldFromOtherAgency, Agency: "canary-uncle"}},
			Given:    at, Expires: at.AddDate(0, 0, 90), Review: at.AddDate(0, 0, 60), HowToWithdraw: "canary: ring 01632 960199 & ask for <Ann>",
		},
	}
}

var during = time.Date(2026, time.March, 5, 12, 0, 0, 0, time.UTC)

func page(t *testing.T, lang string, c *consent.Certificate, o Options) string {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = during
	}
	var b bytes.Buffer
	if err := Page(&b, lang, c, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPageNothingToFind: whatever the certificate holds, the page holds none of it but codes in plain words and dates.
func TestPageNothingToFind(t *testing.T) {
	c := given()
	for _, tag := range theBook(t).tags {
		html := page(t, tag.String(), c, Options{})
		for _, secret := range []string{"canary", "2f1f5a3e", "0f9a6c3d", "960199", "GB", "<script", "http://", "https://", "src=", "url(", "%!", "fear"} {
			if strings.Contains(html, secret) {
				t.Errorf("%s: the page holds %q", tag, secret)
			}
		}
		for _, want := range []string{`<html lang="` + tag.String() + `"`, "71be", "2026"} {
			if !strings.Contains(html, want) {
				t.Errorf("%s: no %q", tag, want)
			}
		}
		for _, word := range append(jargon[tag.String()], anywhere...) {
			// The head names fonts and a policy; the body is what people read.
			_, body, _ := strings.Cut(html, "<main>")
			if word != "process" && strings.Contains(strings.ToLower(strings.ReplaceAll(body, "Policz", "")), word) {
				t.Errorf("%s: the page says %q", tag, word)
			}
		}
	}
}

func TestPageSays(t *testing.T) {
	c := given()
	html := page(t, "en", c, Options{})
	for _, want := range []string{
		"your health", "to find you a place to stay", "people whose job is to keep you safe", "2 groups that you chose", "your family",
		"a group that you named to us", "share it with each other", "You said yes on 1 March 2026. Your yes ends on 30 May 2026. That is 90 days.",
		"by 30 April 2026", "You can say no at any time", "even if you say no", "No one else may know, unless",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("not said: %s", want)
		}
	}
	if strings.Contains(html, "what happened to you") || strings.Contains(html, "to count how many") {
		t.Error("says what was not agreed")
	}
	roles := func(a string) schemas.Role {
		if a == "canary-house" {
			return schemas.RoleSupportProvider
		}
		return ""
	}
	if html := page(t, "en", c, Options{RoleOf: roles}); !strings.Contains(html, "place to stay and daily life") || !strings.Contains(html, "1 group that") {
		t.Error("a named agency is not described by its role")
	}
	if html := page(t, "en", c, Options{WithContact: true}); !strings.Contains(html, "<bdi>canary: ring 01632 960199 &amp; ask for &lt;Ann&gt;</bdi>") || strings.Contains(html, "write it here") {
		t.Error("the contact was asked for")
	}
	over := page(t, "en", c, Options{Now: c.Consent.Expires})
	if !strings.Contains(over, "Your yes ended on 30 May 2026") || strings.Contains(over, "We will ask you again by") || strings.Contains(over, "Your yes ends") {
		t.Error("a consent that is over reads as if it were not")
	}
	c.Consent.Onward, c.Consent.Recipients = schemas.OnwardNone, schemas.Recipients{Classes: []schemas.RecipientClass{{Role: schemas.RoleHealth}}}
	if html := page(t, "en", c, Options{}); !strings.Contains(html, "not pass it on") || strings.Contains(html, "groups that you chose") {
		t.Error("onward sharing")
	}
	// Late in the evening in London it is the next day already in Tirana.
	c.Consent.Given = time.Date(2026, time.March, 1, 23, 30, 0, 0, time.UTC)
	if html := page(t, "en", c, Options{Now: during.In(time.FixedZone("", 3600))}); !strings.Contains(html, "yes on 2 March 2026") {
		t.Error("the date is not that of the place")
	}
}

// TestPageNotice: a translation that nobody has checked says so, in two languages.
func TestPageNotice(t *testing.T) {
	const english = "This translation has not yet been checked by a native speaker."
	b := theBook(t)
	for _, tag := range b.tags {
		html := page(t, tag.String(), given(), Options{})
		own := b.words[tag].Text["unchecked"].one
		if got := strings.Contains(html, english) && strings.Contains(html, own); got != (tag != language.English) {
			t.Errorf("%s: notice %t", tag, got)
		}
		if dir := regexp.MustCompile(`<html [^>]*dir="(\w+)"`).FindStringSubmatch(html); dir == nil || dir[1] != b.words[tag].Direction {
			t.Errorf("%s: direction %v", tag, dir)
		}
	}
}

// TestPageRefuses: an unknown code is never left out in silence, and no error repeats what is in the certificate.
func TestPageRefuses(t *testing.T) {
	for name, change := range map[string]func(*consent.Certificate){
		"category": func(c *consent.Certificate) { c.Consent.Categories = append(c.Consent.Categories, "canary") },
		"purpose":  func(c *consent.Certificate) { c.Consent.Purposes = append(c.Consent.Purposes, "canary") },
		"role": func(c *consent.Certificate) {
			c.Consent.Recipients.Classes = []schemas.RecipientClass{{Role: "canary"}}
		},
		"withheld": func(c *consent.Certificate) { c.Consent.Withheld[0].From = "canary" },
		"id":       func(c *consent.Certificate) { c.ID = "x" },
	} {
		c := given()
		change(c)
		var b bytes.Buffer
		if err := Page(&b, "en", c, Options{Now: during}); err == nil || b.Len() > 0 || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, %d bytes written", name, err, b.Len())
		}
	}
	if err := Page(new(bytes.Buffer), "de", given(), Options{}); !errors.Is(err, ErrLanguage) {
		t.Errorf("German: %v", err)
	}
}

// TestPagePure: the certificate is not changed.
func TestPagePure(t *testing.T) {
	c := given()
	page(t, "ar", c, Options{})
	if !reflect.DeepEqual(c, given()) {
		t.Error("changed")
	}
}
