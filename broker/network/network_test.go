package network_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
)

func initNetwork(t *testing.T) *network.Authority {
	t.Helper()
	a, err := network.Init(filepath.Join(t.TempDir(), "network"), network.Options{Name: "Test", URLs: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func enrol(t *testing.T, a *network.Authority, id string) *directory.Request {
	t.Helper()
	req := brokertest.NewAgency(t, id).Request
	if _, err := a.Enrol(req, schemas.RoleNGO, network.EnrolOptions{}); err != nil {
		t.Fatal(err)
	}
	return req
}

func agreement(from, to string) directory.Agreement {
	return directory.Agreement{ID: schemas.NewThreadID(), From: from, To: to, Kinds: []schemas.Kind{schemas.KindReferral}, Purposes: []schemas.Purpose{"accommodation"}, Categories: []schemas.Category{"identity"}}
}

// TestInitKeys: private keys are for their owner only, stay in keys/, and do not come out by printing.
func TestInitKeys(t *testing.T) {
	a := initNetwork(t)
	secrets := 0
	var seeds []string
	err := filepath.WalkDir(a.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		private := strings.Contains(string(text), "PRIVATE+KEY") || strings.Contains(string(text), "NKEY SEED") || strings.HasSuffix(path, ".nk")
		if !private {
			return nil
		}
		secrets++
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		if folder := filepath.Base(filepath.Dir(path)); folder != "keys" && !(folder == "broker" && (strings.HasSuffix(path, ".creds") || strings.HasSuffix(path, "log.key"))) {
			t.Errorf("a private key in %s", path)
		}
		if strings.HasSuffix(path, ".nk") || strings.HasSuffix(path, "root.key") {
			seeds = append(seeds, strings.TrimSpace(string(text)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if secrets != 11 || len(seeds) != 4 {
		t.Errorf("%d secrets and %d seeds, want 11 and 4: adapt this test to new keys", secrets, len(seeds))
	}
	printed := fmt.Sprintf("%v %+v %#v", a, a, a)
	for _, s := range seeds {
		if strings.Contains(printed, s) {
			t.Error("printing the authority prints a key")
		}
	}
	if _, err := network.Init(a.Dir(), network.Options{Name: "Again", URLs: []string{"nats://127.0.0.1:1"}}); err == nil {
		t.Error("a second init overwrote a network")
	}
	key := filepath.Join(a.Dir(), "keys", "root.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := network.Open(a.Dir()); err == nil || !strings.Contains(err.Error(), "readable by others") {
		t.Errorf("opened with an open key: %v", err)
	}
}

func TestInitRefuses(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(key, []byte("-----BEGIN PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := []string{"tls://broker.example:4222"}
	for name, o := range map[string]network.Options{
		"no name":           {URLs: url},
		"two lines":         {Name: "a\nb", URLs: url},
		"no address":        {Name: "x"},
		"no scheme":         {Name: "x", URLs: []string{"broker.example:4222"}},
		"http":              {Name: "x", URLs: []string{"http://broker.example"}},
		"password in url":   {Name: "x", URLs: []string{"tls://a:b@broker.example"}},
		"private key as CA": {Name: "x", URLs: url, CA: key},
		"missing CA":        {Name: "x", URLs: url, CA: filepath.Join(dir, "none")},
		"short head":        {Name: "x", URLs: url, HeadTTL: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(dir, "n")
			if _, err := network.Init(at, o); err == nil {
				t.Error("accepted")
			}
			if _, err := os.Stat(at); err == nil {
				t.Error("left a folder behind")
			}
		})
	}
	if _, err := network.Open(filepath.Join(dir, "none")); err == nil {
		t.Error("opened nothing")
	}
	if _, err := network.Open(dir); err == nil {
		t.Error("opened a folder without a network")
	}
}

func TestEnrol(t *testing.T) {
	a := initNetwork(t)
	agency := brokertest.NewAgency(t, "harbour-ngo")
	grant, err := a.Enrol(agency.Request, schemas.RoleNGO, network.EnrolOptions{Region: "north"})
	if err != nil {
		t.Fatal(err)
	}
	if err := grant.Match("harbour-ngo", agency.Request.NATSKey, agency.Request.SigningKey, agency.Request.Recipient); err != nil {
		t.Error(err)
	}
	text, err := grant.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := directory.ParseGrant(text); err != nil {
		t.Fatal(err)
	}
	user, err := jwt.DecodeUserClaims(grant.UserJWT)
	if err != nil {
		t.Fatal(err)
	}
	if user.Subject != agency.Request.NATSKey || user.Name != "harbour-ngo" || !user.HasEmptyPermissions() || user.BearerToken {
		t.Errorf("user claims %+v: permissions must come from the scoped signing key only", user)
	}
	// An agency whose clock is a little behind signs with a key that is in force; what pretends to be older is not believed.
	now := time.Now()
	if len(a.View().Verifiers("harbour-ngo", now.Add(-4*time.Minute))) != 1 || len(a.View().Verifiers("harbour-ngo", now.Add(-6*time.Minute))) != 0 {
		t.Error("a key that was just listed must count for the five minutes before, and no longer")
	}
	if _, ok := a.View().Recipient("harbour-ngo", now.Add(-4*time.Minute)); !ok {
		t.Error("a sender whose clock is behind cannot seal to an agency that just joined")
	}
	version := a.View().Head().Version
	// The same request again: a grant, and no new directory.
	if again, err := a.Enrol(agency.Request, schemas.RoleNGO, network.EnrolOptions{}); err != nil || again.NATSKey != grant.NATSKey {
		t.Errorf("a lost grant cannot be made again: %v", err)
	}
	if v := a.View().Head().Version; v != version {
		t.Errorf("enrolling again moved the directory from %d to %d", version, v)
	}
	forged := *agency.Request
	forged.Agency = "north-police"
	withKey := brokertest.NewAgency(t, "east-police").Request
	stolen := *withKey
	stolen.NATSKey = agency.Request.NATSKey
	for name, c := range map[string]struct {
		req  *directory.Request
		role schemas.Role
	}{
		"no request":                  {nil, schemas.RoleNGO},
		"another id under the proofs": {&forged, schemas.RolePolice},
		"another's key":               {&stolen, schemas.RolePolice},
		"other keys for a known id":   {brokertest.NewAgency(t, "harbour-ngo").Request, schemas.RoleNGO},
		"another role":                {agency.Request, schemas.RolePolice},
		"unknown role":                {brokertest.NewAgency(t, "west-police").Request, "king"},
		"the root's name":             {&directory.Request{Agency: directory.RootName}, schemas.RoleNGO},
	} {
		t.Run(name, func(t *testing.T) {
			if g, err := a.Enrol(c.req, c.role, network.EnrolOptions{}); err == nil || g != nil {
				t.Errorf("accepted (%v)", err)
			}
			if v := a.View().Head().Version; v != version {
				t.Errorf("a refused request moved the directory to %d", v)
			}
		})
	}
	if err := a.Suspend("harbour-ngo"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Enrol(agency.Request, schemas.RoleNGO, network.EnrolOptions{}); err == nil {
		t.Error("a suspended agency got a new grant")
	}
}

// TestVersions: every change, also after opening the folder again, is exactly one version on; a change that changes
// nothing is none.
func TestVersions(t *testing.T) {
	a := initNetwork(t)
	at := uint64(1)
	step := func(name string, by uint64, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		at += by
		again, err := network.Open(a.Dir())
		if err != nil {
			t.Fatalf("open after %s: %v", name, err)
		}
		if v, w := a.View().Head().Version, again.View().Head().Version; v != at || w != at {
			t.Fatalf("after %s: version %d, on disk %d, want %d", name, v, w, at)
		}
		a = again
	}
	enrol(t, a, "harbour-ngo")
	step("enrol", 1, nil)
	enrol(t, a, "north-police")
	step("enrol", 1, nil)
	g := agreement("north-police", "harbour-ngo")
	step("agreement", 1, a.AddAgreement(g))
	step("end", 1, a.EndAgreement(g.ID, time.Now()))
	step("suspend", 1, a.Suspend("harbour-ngo"))
	step("suspend again", 0, a.Suspend("harbour-ngo"))
	step("restore", 1, a.Restore("harbour-ngo"))
	step("renew", 1, a.Renew(time.Hour))
	step("sign", 1, a.SignHead(time.Now().Add(-60*24*time.Hour)))
	if !a.View().Expired(time.Now()) {
		t.Error("a head signed 60 days ago is valid")
	}
	step("renew", 1, a.Renew(0))
	if d := time.Until(a.View().Head().Expires); d < network.DefaultHeadTTL-time.Hour || d > network.DefaultHeadTTL {
		t.Errorf("valid for %v", d)
	}
	for name, err := range map[string]error{
		"end twice":         a.EndAgreement(g.ID, time.Now()),
		"end unknown":       a.EndAgreement("x", time.Now()),
		"suspend unknown":   a.Suspend("nobody"),
		"agree with nobody": a.AddAgreement(agreement("north-police", "nobody")),
		"agree with itself": a.AddAgreement(agreement("north-police", "north-police")),
		"same id":           a.AddAgreement(g),
		"for ever":          a.Renew(1000 * 24 * time.Hour),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := a.Suspend("nobody"); !errors.Is(err, network.ErrNotFound) {
		t.Errorf("unknown agency: %v", err)
	}
	step("refusals", 0, nil)
}

// TestTwoAuthorities: two processes' worth of changes on one folder, none lost, no version used twice.
func TestTwoAuthorities(t *testing.T) {
	a := initNetwork(t)
	b, err := network.Open(a.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, x := range []*network.Authority{a, b, a, b} {
		req := brokertest.NewAgency(t, fmt.Sprintf("agency-%d", i)).Request
		wg.Go(func() {
			if _, err := x.Enrol(req, schemas.RoleNGO, network.EnrolOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last, err := network.Open(a.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if v := last.View(); v.Head().Version != 5 || len(v.Agencies()) != 4 {
		t.Errorf("version %d with %d agencies, want 5 with 4", v.Head().Version, len(v.Agencies()))
	}
}

// TestCrash leaves the folder as a crash at each step of a commit would, and opens it again.
func TestCrash(t *testing.T) {
	a := initNetwork(t)
	enrol(t, a, "harbour-ngo")
	before := copyOf(t, a.Dir())
	if err := a.Suspend("harbour-ngo"); err != nil {
		t.Fatal(err)
	}
	after := copyOf(t, a.Dir())
	key := filepath.Join("directory", directory.AgencyKey("harbour-ngo"))
	head := filepath.Join("directory", directory.HeadKey)
	account := filepath.Join("jwt", "agencies", "harbour-ngo.jwt")
	bundle := filepath.Join("broker", "bundle.json")
	for _, c := range []struct {
		name  string
		take  map[string]string // file → the file of the committed state that is already there
		state directory.State
	}{
		{"nothing written", nil, directory.StateActive},
		{"entry staged", map[string]string{key + ".next": key}, directory.StateActive},
		{"head replaced", map[string]string{key + ".next": key, head: head}, directory.StateSuspended},
		{"entry moved", map[string]string{key: key, head: head}, directory.StateSuspended},
		{"account closed", map[string]string{key: key, head: head, account: account}, directory.StateSuspended},
		{"all", map[string]string{key: key, head: head, account: account, bundle: bundle}, directory.StateSuspended},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyOf(t, before)
			for to, from := range c.take {
				text, err := os.ReadFile(filepath.Join(after, from))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, err := network.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			agency, _ := a.View().Agency("harbour-ngo")
			if agency.State != c.state {
				t.Errorf("agency is %s, want %s", agency.State, c.state)
			}
			b, err := network.ReadBundle(a.BrokerBundle())
			if err != nil {
				t.Fatal(err)
			}
			for _, token := range b.Accounts {
				claims, err := jwt.DecodeAccountClaims(token)
				if err != nil {
					t.Fatal(err)
				}
				if closed := len(claims.Revocations) > 0; claims.Name == "harbour-ngo" && closed != (c.state == directory.StateSuspended) {
					t.Errorf("the broker's claims say closed: %v", closed)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "directory", "*.next")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
			enrol(t, a, "north-police") // and it goes on
		})
	}
}

// TestDamage: a folder that was changed by hand is refused, and so is one whose directory went back in time under a
// running authority.
func TestDamage(t *testing.T) {
	a := initNetwork(t)
	enrol(t, a, "harbour-ngo")
	old := copyOf(t, a.Dir())
	enrol(t, a, "north-police")
	entry := filepath.Join("directory", directory.AgencyKey("harbour-ngo"))
	for name, damage := range map[string]func(dir string) error{
		"entry altered": func(dir string) error {
			text, err := os.ReadFile(filepath.Join(dir, entry))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, entry), []byte(strings.Replace(string(text), "ngo", "nga", 1)), 0o600)
		},
		"entry missing":   func(dir string) error { return os.Remove(filepath.Join(dir, entry)) },
		"head missing":    func(dir string) error { return os.Remove(filepath.Join(dir, "directory", "head")) },
		"account missing": func(dir string) error { return os.Remove(filepath.Join(dir, "jwt", "agencies", "harbour-ngo.jwt")) },
		"key missing":     func(dir string) error { return os.Remove(filepath.Join(dir, "keys", "network.nk")) },
		"keys swapped": func(dir string) error {
			return os.Rename(filepath.Join(dir, "keys", "operator.nk"), filepath.Join(dir, "keys", "network.nk"))
		},
		"bad yaml": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "network.yaml"), []byte("name: x\nnmae: y\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, a.Dir())
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := network.Open(dir); err == nil {
				t.Error("opened")
			}
		})
	}
	t.Run("rollback", func(t *testing.T) {
		dir := copyOf(t, a.Dir())
		b, err := network.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "directory")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(dir, "directory"), os.DirFS(filepath.Join(old, "directory"))); err != nil {
			t.Fatal(err)
		}
		if err := b.Suspend("harbour-ngo"); err == nil {
			t.Error("signed on top of an older directory")
		}
	})
}

// TestOffline: nobody at the broker's address is no error for a change, and named for a publication.
func TestOffline(t *testing.T) {
	a := initNetwork(t)
	begin := time.Now()
	published, err := a.PublishIfReachable(t.Context())
	if published || err != nil {
		t.Errorf("published %v: %v", published, err)
	}
	if err := a.Publish(t.Context(), "nats://127.0.0.1:1"); !errors.Is(err, network.ErrUnreachable) {
		t.Errorf("publish: %v", err)
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("took %v to find that out", d)
	}
}

// TestPublishOldCopy: a folder restored from a backup must not take the network back.
func TestPublishOldCopy(t *testing.T) {
	b := brokertest.Start(t)
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	old, err := network.Open(copyOf(t, b.Authority.Dir()))
	if err != nil {
		t.Fatal(err)
	}
	b.Join(t, "north-police", schemas.RolePolice)
	if err := old.Publish(t.Context(), b.URL()); err == nil || !strings.Contains(err.Error(), "the broker serves version") {
		t.Errorf("an old copy was published: %v", err)
	}
	b.Publish(t) // again: nothing to do, no error
	// Another network's authority cannot publish here at all.
	if err := initNetwork(t).Publish(t.Context(), b.URL()); err == nil || errors.Is(err, network.ErrUnreachable) {
		t.Errorf("a foreign authority: %v", err)
	}
}

// TestFiles keeps the list of files in a network folder short and known.
func TestFiles(t *testing.T) {
	a := initNetwork(t)
	enrol(t, a, "harbour-ngo")
	var files []string
	err := filepath.WalkDir(a.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(a.Dir(), path)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		".lock", "broker/broker.creds", "broker/bundle.json", "broker/log.key", "broker/monitor.creds", "directory/agency.harbour-ngo", "directory/head", "directory/log", "directory/root.pub",
		"jwt/agencies/harbour-ngo.jwt", "jwt/auditor.jwt", "jwt/network.jwt", "jwt/operator.jwt", "jwt/system.jwt",
		"keys/admin.creds", "keys/agency.nk", "keys/auditor.creds", "keys/network.nk", "keys/operator.nk", "keys/restorer.creds", "keys/root.key", "keys/system.creds", "network.yaml",
	}
	slices.Sort(files)
	if !slices.Equal(files, want) {
		t.Errorf("files:\n%s\nwant:\n%s", strings.Join(files, "\n"), strings.Join(want, "\n"))
	}
}

// copyOf copies a folder with its permissions.
func copyOf(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}
