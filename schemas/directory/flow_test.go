package directory

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas"
)

func TestPermits(t *testing.T) {
	suspended := testAgency(t, "closed-agency", schemas.RoleNGO, 5)
	suspended.State = StateSuspended
	health := testAgreement("a3", police, ngo)
	health.Purposes, health.Categories = []schemas.Purpose{schemas.PurposeHealthCare}, []schemas.Category{schemas.CategoryHealth, schemas.CategoryIdentity}
	ended := testAgreement("a4", police, housing)
	ended.Ended = ptr(start.Add(24 * time.Hour))
	limited := testAgreement("a5", housing, police)
	limited.Until = ptr(start.Add(24 * time.Hour))
	responses := testAgreement("a6", housing, police)
	responses.Kinds = []schemas.Kind{schemas.KindReferralResponse}
	responses.Starts = start.Add(48 * time.Hour)
	v := testWorld(t, suspended, health, ended, limited, responses, testAgreement("a7", police, suspended.ID)).open(t)

	referral := func(from, to string) Flow {
		return Flow{From: from, To: to, Kind: schemas.KindReferral, Purposes: []schemas.Purpose{schemas.PurposeAccommodation},
			Categories: []schemas.Category{schemas.CategoryIdentity, schemas.CategoryCaseAdmin}, At: start}
	}
	with := func(f Flow, change func(*Flow)) Flow { change(&f); return f }
	response := func(f *Flow) {
		f.Kind, f.Purposes, f.Categories = schemas.KindReferralResponse, nil, []schemas.Category{schemas.CategorySupportNeeds}
	}
	for name, c := range map[string]struct {
		flow  Flow
		code  string
		field string
	}{
		"covered":            {flow: referral(police, ngo)},
		"other direction":    {referral(ngo, police), CodeNoAgreement, ngo + " " + police},
		"unknown sender":     {referral("nobody", ngo), CodeUnknownAgency, "nobody"},
		"unknown recipient":  {referral(police, "nobody"), CodeUnknownAgency, "nobody"},
		"hostile id":         {referral("Test Person A", ngo), CodeUnknownAgency, ""},
		"suspended":          {referral(police, suspended.ID), CodeSuspendedAgency, suspended.ID},
		"before it starts":   {with(referral(police, ngo), func(f *Flow) { f.At = start.Add(-1) }), CodeNoAgreement, police + " " + ngo},
		"before it ended":    {flow: with(referral(police, housing), func(f *Flow) { f.At = start.Add(24*time.Hour - 1) })},
		"when it ended":      {with(referral(police, housing), func(f *Flow) { f.At = start.Add(24 * time.Hour) }), CodeNoAgreement, police + " " + housing},
		"past until":         {with(referral(housing, police), func(f *Flow) { f.At = start.Add(24 * time.Hour) }), CodeNoAgreement, housing + " " + police},
		"kind":               {with(referral(police, ngo), func(f *Flow) { f.Kind = "update" }), CodeNoAgreement, police + " " + ngo},
		"purpose":            {with(referral(police, ngo), func(f *Flow) { f.Purposes = append(f.Purposes, schemas.PurposeProsecution) }), CodeAgreementPurpose, "prosecution"},
		"no purpose":         {with(referral(police, ngo), func(f *Flow) { f.Purposes = nil }), CodeAgreementPurpose, ""},
		"category":           {with(referral(police, ngo), func(f *Flow) { f.Categories = append(f.Categories, schemas.CategoryRisk) }), CodeAgreementCategory, "risk"},
		"hostile category":   {with(referral(police, ngo), func(f *Flow) { f.Categories = []schemas.Category{"Test Person A"} }), CodeAgreementCategory, "?"},
		"second agreement":   {flow: with(referral(police, ngo), func(f *Flow) { f.Purposes = []schemas.Purpose{schemas.PurposeHealthCare} })},
		"union of purposes":  {with(referral(police, ngo), func(f *Flow) { f.Purposes = append(f.Purposes, schemas.PurposeHealthCare) }), CodeAgreementPurpose, "health-care"},
		"union of data":      {with(referral(police, ngo), func(f *Flow) { f.Categories = append(f.Categories, schemas.CategoryHealth) }), CodeAgreementCategory, "health"},
		"receipt":            {flow: Flow{From: ngo, To: police, Kind: schemas.KindReceipt}},
		"receipt, strangers": {flow: Flow{From: police, To: suspended.ID, Kind: schemas.KindReceipt, Categories: []schemas.Category{schemas.CategoryHealth}}},
		"receipt, unknown":   {Flow{From: "nobody", To: police, Kind: schemas.KindReceipt}, CodeUnknownAgency, "nobody"},
		"response":           {flow: with(referral(ngo, police), response)},
		"response, data": {with(referral(ngo, police), func(f *Flow) {
			response(f)
			f.Categories = []schemas.Category{schemas.CategoryHealth, schemas.CategoryRisk}
		}), CodeAgreementCategory, "risk"},
		"response, ended":        {flow: with(referral(housing, police), func(f *Flow) { response(f); f.At = start.Add(30 * time.Hour) })},
		"response, early":        {with(referral(ngo, police), func(f *Flow) { response(f); f.At = start.Add(-1) }), CodeNoAgreement, ngo + " " + police},
		"response, own":          {flow: with(referral(housing, police), func(f *Flow) { response(f); f.At = start.Add(72 * time.Hour) })},
		"response, nobody asked": {with(referral(police, ngo), response), CodeNoAgreement, police + " " + ngo},
	} {
		err := v.Permits(c.flow)
		if codeOf(err) != c.code {
			t.Errorf("%s: got %v, want %q", name, err, c.code)
		} else if err != nil && err.(*Error).Field != c.field {
			t.Errorf("%s: field %q, want %q", name, err.(*Error).Field, c.field)
		}
	}
}

// Permits against the sentence it implements, and: a flow that asks for more is
// never permitted where the smaller one was not.
func TestPermitsProperty(t *testing.T) {
	permitted := 0
	rapid.Check(t, func(t *rapid.T) {
		hour := func(label string) time.Time {
			return start.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, label)) * time.Hour)
		}
		ids := []string{police, ngo}
		var more []any
		var agreements []Agreement
		for _, id := range []string{"p1", "p2", "p3"} {
			i := rapid.IntRange(0, 1).Draw(t, "direction")
			g := testAgreement(id, ids[i], ids[1-i])
			g.Purposes = rapid.SliceOfNDistinct(rapid.SampledFrom(schemas.Purposes()[:3]), 1, 3, rapid.ID).Draw(t, "purposes")
			g.Categories = rapid.SliceOfNDistinct(rapid.SampledFrom(schemas.AllCategories()[:3]), 1, 3, rapid.ID).Draw(t, "categories")
			g.Starts = hour("starts")
			if rapid.Bool().Draw(t, "ends") {
				g.Ended = ptr(hour("ended"))
			}
			agreements = append(agreements, g)
			more = append(more, g)
		}
		w := &world{entries: map[string][]byte{}}
		for _, x := range append(more, testAgency(t, police, schemas.RolePolice, 1), testAgency(t, ngo, schemas.RoleNGO, 2)) {
			w.put(t, x)
		}
		w.sign(t, 1)
		v := w.open(t)
		f := Flow{
			From: police, To: ngo, Kind: schemas.KindReferral, At: hour("at"),
			Purposes:   rapid.SliceOfN(rapid.SampledFrom(schemas.Purposes()[:3]), 1, 2).Draw(t, "wanted purposes"),
			Categories: rapid.SliceOfN(rapid.SampledFrom(append(schemas.AllCategories()[:3], schemas.CategoryCaseAdmin)), 0, 2).Draw(t, "wanted categories"),
		}
		want := slices.ContainsFunc(agreements, func(g Agreement) bool {
			return g.From == f.From && g.To == f.To && !f.At.Before(g.Starts) && (g.Ended == nil || f.At.Before(*g.Ended)) &&
				!slices.ContainsFunc(f.Purposes, func(p schemas.Purpose) bool { return !slices.Contains(g.Purposes, p) }) &&
				!slices.ContainsFunc(f.Categories, func(c schemas.Category) bool {
					return c != schemas.CategoryCaseAdmin && !slices.Contains(g.Categories, c)
				})
		})
		err := v.Permits(f)
		if (err == nil) != want {
			t.Fatalf("got %v, want permitted %v", err, want)
		}
		if want {
			permitted++
		}
		wider := f
		wider.Categories = append(slices.Clone(f.Categories), rapid.SampledFrom(schemas.AllCategories()).Draw(t, "more"))
		if v.Permits(wider) == nil && err != nil {
			t.Fatal("asking for more was permitted")
		}
	})
	if permitted == 0 {
		t.Fatal("nothing was ever permitted: the test says nothing")
	}
}

func TestRespondWithin(t *testing.T) {
	g := testAgreement("a8", police, ngo)
	g.RespondWithin = map[schemas.Urgency]string{schemas.UrgencyImmediate: "20m", schemas.UrgencyRoutine: "24h"}
	shorter := testAgreement("a9", police, ngo)
	shorter.RespondWithin = map[schemas.Urgency]string{schemas.UrgencyImmediate: "10m"}
	shorter.Starts = start.Add(time.Hour)
	v := testWorld(t, g, shorter).open(t)
	for _, c := range []struct {
		from string
		u    schemas.Urgency
		at   time.Time
		want time.Duration
	}{
		{police, schemas.UrgencyImmediate, start, 20 * time.Minute},
		{police, schemas.UrgencyImmediate, start.Add(time.Hour), 10 * time.Minute},
		{police, schemas.UrgencyImmediate, start.Add(-1), time.Hour},
		{police, schemas.UrgencySameDay, start, 3 * time.Hour},
		{police, schemas.UrgencyRoutine, start, 24 * time.Hour},
		{housing, schemas.UrgencyImmediate, start, time.Hour},
	} {
		if got := v.RespondWithin(c.from, ngo, c.u, c.at); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.from, c.u, got, c.want)
		}
	}
	for _, d := range []string{"61m", "2h", "0m", "-5m", "1d", "", "1h30m", "99999h"} {
		g.RespondWithin = map[schemas.Urgency]string{schemas.UrgencyImmediate: d}
		if _, err := SignAgreement(g, rootKey(t)); codeOf(err) != CodeMalformed {
			t.Errorf("signed an agreement that answers within %q: %v", d, err)
		}
	}
}

// Every rule on entries and heads, broken once.
func TestEntryRules(t *testing.T) {
	root := rootKey(t)
	for name, breakIt := range map[string]func(*Agency){
		"id":            func(a *Agency) { a.ID = "*" },
		"root's name":   func(a *Agency) { a.ID = RootName; a.SigningKeys[0].Key = testKey(t, RootName, 2).vkey },
		"no name":       func(a *Agency) { a.Name = "" },
		"turned name":   func(a *Agency) { a.Name = "Harbour \u202eLight" },
		"two lines":     func(a *Agency) { a.DutyContact = "a\nb" },
		"role":          func(a *Agency) { a.Role = "king" },
		"state":         func(a *Agency) { a.State = "asleep" },
		"account key":   func(a *Agency) { a.NATSKey = "A" + a.NATSKey[1:] },
		"key, line end": func(a *Agency) { a.NATSKey = a.NATSKey[:9] + "\n" + a.NATSKey[9:] },
		"no recipient":  func(a *Agency) { a.Recipients = nil },
		"cut recipient": func(a *Agency) { a.Recipients[0].Key = a.Recipients[0].Key[:1900] },
		"classic": func(a *Agency) {
			a.Recipients[0].Key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
		},
		"no signing key": func(a *Agency) { a.SigningKeys = nil },
		"another's key":  func(a *Agency) { a.SigningKeys[0].Key = testKey(t, police, 2).vkey },
		"one key twice":  func(a *Agency) { a.SigningKeys = append(a.SigningKeys, a.SigningKeys[0]) },
		"ends at once":   func(a *Agency) { a.SigningKeys[0].Until = &a.SigningKeys[0].From },
		"no start":       func(a *Agency) { a.SigningKeys[0].From = time.Time{} },
		"schema":         func(a *Agency) { a.Schemas = []string{"referral"} },
		"never":          func(a *Agency) { a.Since = time.Time{} },
		"too many keys":  func(a *Agency) { a.SigningKeys = make([]Key, maxKeys+1) },
		"one key for two ends": func(a *Agency) {
			a.NATSKey = public(t, natsKey(t, 2))
		},
	} {
		a := testAgency(t, ngo, schemas.RoleNGO, 2)
		breakIt(&a)
		if raw, err := SignAgency(a, root); codeOf(err) != CodeMalformed || raw != nil {
			t.Errorf("agency, %s: %v", name, err)
		}
	}
	for name, breakIt := range map[string]func(*Agreement){
		"id":        func(g *Agreement) { g.ID = "a.b" },
		"self":      func(g *Agreement) { g.To = g.From },
		"no kinds":  func(g *Agreement) { g.Kinds = nil },
		"kind":      func(g *Agreement) { g.Kinds = []schemas.Kind{"gossip"} },
		"category":  func(g *Agreement) { g.Categories = []schemas.Category{"everything"} },
		"twice":     func(g *Agreement) { g.Purposes = append(g.Purposes, g.Purposes[0]) },
		"no start":  func(g *Agreement) { g.Starts = time.Time{} },
		"backwards": func(g *Agreement) { g.Until = ptr(start.Add(-time.Hour)) },
		"wrong end": func(g *Agreement) { g.Ended = &time.Time{} },
		"from":      func(g *Agreement) { g.From = "" },
		"document":  func(g *Agreement) { g.Document = "a\x00b" },
	} {
		g := testAgreement("a1", police, ngo)
		breakIt(&g)
		if raw, err := SignAgreement(g, root); codeOf(err) != CodeMalformed || raw != nil {
			t.Errorf("agreement, %s: %v", name, err)
		}
	}
	for name, breakIt := range map[string]func(*Head){
		"version 0": func(h *Head) { h.Version = 0 },
		"version":   func(h *Head) { h.Version = MaxVersion + 1 },
		"expires":   func(h *Head) { h.Expires = h.Issued },
		"issued":    func(h *Head) { h.Issued = time.Time{} },
		"key":       func(h *Head) { h.Entries = map[string]string{"head": Digest(nil)} },
		"digest":    func(h *Head) { h.Entries = map[string]string{"agency.abc": "sha256:00"} },
	} {
		h := Head{Version: 1, Issued: start, Expires: start.Add(time.Hour)}
		breakIt(&h)
		if raw, err := SignHead(h, root); codeOf(err) != CodeMalformed || raw != nil {
			t.Errorf("head, %s: %v", name, err)
		}
	}
}

// What serves consent flows like receipts: no agreement, not even between the suspended; nothing else does.
func TestConsentAlwaysFlows(t *testing.T) {
	for _, e := range schemas.Catalogue() {
		if e.Control && (len(e.From) > 0 || len(e.To) > 0) {
			t.Errorf("%s serves consent and some role may not send or receive it", e.Kind)
		}
		if e.Control && e.Follows != "" {
			t.Errorf("%s needs no agreement and follows one", e.Kind)
		}
	}
	if schemas.MayTravel("gossip", schemas.RolePolice, schemas.RoleNGO) {
		t.Error("an unknown kind may travel")
	}
}
