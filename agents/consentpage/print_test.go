package consentpage

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"waypost/schemas"
	"waypost/schemas/consent"
)

var keep = flag.String("keep", "", "folder in which TestPrint leaves its pages and PDF files, to be looked at")

// everything is a consent to all there is, the longest page that can be.
func everything() *consent.Certificate {
	c := given()
	k := &c.Consent
	k.Categories, k.Purposes, k.Recipients = schemas.AllCategories(), schemas.Purposes(), schemas.Recipients{Classes: allClasses(), Agencies: []string{"a", "b"}}
	k.Withheld = nil
	for _, from := range schemas.Codes("withheld-from") {
		k.Withheld = append(k.Withheld, schemas.Withheld{From: schemas.WithheldFrom(from)})
	}
	return c
}

// several is one with enough in it for the middle size.
func several() *consent.Certificate {
	c := given()
	c.Consent.Categories, c.Consent.Purposes = schemas.AllCategories()[:10], schemas.Purposes()[:8]
	return c
}

var sheet = regexp.MustCompile(`/Type\s*/Page\b[^s]`)

// TestPrint prints every language with a real browser and counts the sheets.
func TestPrint(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("WAYPOST_REQUIRE") == "all" {
			t.Fatal("WAYPOST_REQUIRE=all, and there is no chromium (Debian: chromium fonts-dejavu-core fonts-liberation fonts-wqy-microhei)")
		}
		t.Skip("no chromium: cannot print")
	}
	dir := *keep
	if dir == "" {
		dir = t.TempDir()
	}
	languages, err := Languages()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range languages {
		for name, c := range map[string]*consent.Certificate{"usual": given(), "several": several(), "everything": everything()} {
			html := page(t, l.Tag, c, Options{})
			if n := sheets(t, chromium, dir, l.Tag+"-"+name, html); n != 1 {
				t.Errorf("%s, %s: %d sheets", l.Tag, name, n)
			}
		}
	}
	long := everything()
	long.Consent.HowToWithdraw = strings.TrimSpace(strings.Repeat("Ring us. ", 55))
	for _, lang := range []string{"pl", "ar"} {
		if n := sheets(t, chromium, dir, lang+"-contact", page(t, lang, long, Options{WithContact: true})); n != 1 {
			t.Errorf("%s, with the longest contact: %d sheets", lang, n)
		}
	}
	// The measure itself: twice the page is two sheets.
	html := page(t, "en", everything(), Options{})
	twice := bytes.ReplaceAll([]byte(html), []byte("<main>"), slices.Concat([]byte("<main>"), bytes.Repeat([]byte("<p>x</p>"), 60)))
	if n := sheets(t, chromium, dir, "twice", string(twice)); n < 2 {
		t.Errorf("the measure is broken: %d sheets for far too much", n)
	}
}

func sheets(t *testing.T, chromium, dir, name, html string) int {
	t.Helper()
	in, out := filepath.Join(dir, name+".html"), filepath.Join(dir, name+".pdf")
	if err := os.WriteFile(in, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "--print-to-pdf="+out, "file://"+in)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("print %s: %v\n%s", name, err, text)
	}
	pdf, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return len(sheet.FindAll(pdf, -1))
}

func allClasses() (out []schemas.RecipientClass) {
	for _, r := range schemas.Roles() {
		out = append(out, schemas.RecipientClass{Role: r})
	}
	return out
}
