package consent

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

func testStatement(act Act) Statement {
	s := Statement{Type: StatementType, ID: "5f0c1f6e-0000-4000-8000-0000000000aa", Act: act, Certificate: "5f0c1f6e-0000-4000-8000-000000000004",
		Issuer: police, By: police, At: given.Add(time.Hour)}
	switch act {
	case ActRequested:
		s.By = ngo
	case ActReconfirmed:
		s.By, s.To = ngo, housing
	case ActStands:
		s.Answers = "5f0c1f6e-0000-4000-8000-0000000000bb"
	}
	return s
}

func TestStatementSignOpen(t *testing.T) {
	for _, act := range []Act{ActWithdrawn, ActRequested, ActStands, ActReconfirmed} {
		want := testStatement(act)
		signer, verifier := testSigner(t, want.By, 1)
		text, err := SignStatement(want, signer)
		if err != nil {
			t.Fatalf("%s: %v", act, err)
		}
		got, err := OpenStatement(text, verifier)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %v %v", act, got, err)
		}
		_, other := testSigner(t, want.By, 2)
		if _, err := OpenStatement(text, other); err == nil {
			t.Errorf("%s: opened with another key", act)
		}
		if _, err := Read(text); err == nil {
			t.Errorf("%s: a statement reads as a certificate", act)
		}
		raw := []byte(text)
		for i := range raw {
			raw[i] ^= 1
			if s, err := OpenStatement(string(raw), verifier); err == nil || s != nil {
				t.Fatalf("%s: byte %d changed and nobody noticed", act, i)
			}
			raw[i] ^= 1
		}
	}
	if _, err := ReadStatement(signed(t, testCertificate())); err == nil {
		t.Error("a certificate reads as a statement")
	}
}

// Nobody but the issuer ends a consent or says that it stands; each broken statement is signed by hand, and refused by the
// reader as by the writer.
func TestStatementRules(t *testing.T) {
	for name, c := range map[string]struct {
		act     Act
		breakIt func(*Statement)
		field   string
	}{
		"withdrawn by a holder": {ActWithdrawn, func(s *Statement) { s.By = ngo }, "/by"},
		"stands by a holder":    {ActStands, func(s *Statement) { s.By = ngo }, "/by"},
		"request by the issuer": {ActRequested, func(s *Statement) { s.By = police }, "/by"},
		"unknown act":           {ActWithdrawn, func(s *Statement) { s.Act = "erased" }, "/act"},
		"no time":               {ActWithdrawn, func(s *Statement) { s.At = time.Time{} }, "/at"},
		"no certificate":        {ActWithdrawn, func(s *Statement) { s.Certificate = "" }, "/certificate"},
		"no id":                 {ActWithdrawn, func(s *Statement) { s.ID = "" }, "/id"},
		"no issuer":             {ActWithdrawn, func(s *Statement) { s.Issuer = "" }, "/issuer"},
		"to of a request":       {ActRequested, func(s *Statement) { s.To = housing }, "/to"},
		"withdrawn from self":   {ActWithdrawn, func(s *Statement) { s.To = s.By }, "/to"},
		"answer of withdrawal":  {ActWithdrawn, func(s *Statement) { s.Answers = s.ID }, "/answers"},
		"stands for nothing":    {ActStands, func(s *Statement) { s.Answers = "" }, "/answers"},
		"reconfirmed for none":  {ActReconfirmed, func(s *Statement) { s.To = "" }, "/to"},
		"reconfirmed for self":  {ActReconfirmed, func(s *Statement) { s.To = s.By }, "/to"},
	} {
		s := testStatement(c.act)
		c.breakIt(&s)
		signer, _ := testSigner(t, s.By, 1)
		_, err := SignStatement(s, signer)
		if e, ok := err.(*Error); !ok || e.Field != c.field {
			t.Errorf("%s: Sign says %v, want field %s", name, err, c.field)
		}
		raw, err := envelope.SignLine(&s, signer)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadStatement(string(raw)); err == nil || got != nil {
			t.Errorf("%s: read", name)
		}
	}
	// The holder signs a withdrawal that says the police made it.
	s := testStatement(ActWithdrawn)
	signer, key := testSigner(t, ngo, 2)
	forged, err := envelope.SignLine(&s, signer)
	if err != nil {
		t.Fatal(err)
	}
	_, policeKey := testSigner(t, police, 1)
	if _, err := OpenStatement(string(forged), key, policeKey); err == nil {
		t.Error("a forged withdrawal opens")
	}
	if _, err := SignStatement(testStatement(ActWithdrawn), signer); err == nil {
		t.Error("signed in another agency's name")
	}
}

func parties(id string) Party {
	return map[string]Party{police: {police, schemas.RolePolice, ""}, ngo: {ngo, schemas.RoleNGO, ""}, housing: {housing, schemas.RoleSupportProvider, "GB-ENG"}}[id]
}

func TestStand(t *testing.T) {
	c := testCertificate()
	of := func(act Act, change func(*Statement)) *Statement {
		s := testStatement(act)
		if change != nil {
			change(&s)
		}
		return &s
	}
	request := func(by string) *Statement { return of(ActRequested, func(s *Statement) { s.By = by }) }
	stands := of(ActStands, func(s *Statement) { s.ID, s.Answers = "5f0c1f6e-0000-4000-8000-0000000000cc", request(ngo).ID })
	for name, v := range map[string]struct {
		statements         []*Statement
		withdrawn, stopped bool
	}{
		"nothing said":           {},
		"withdrawn":              {[]*Statement{of(ActWithdrawn, nil)}, true, false},
		"withdrawn ahead":        {[]*Statement{of(ActWithdrawn, func(s *Statement) { s.At = given.AddDate(3, 0, 0) })}, true, false},
		"of another certificate": {[]*Statement{of(ActWithdrawn, func(s *Statement) { s.Certificate = s.ID })}, false, false},
		"of another issuer":      {[]*Statement{of(ActWithdrawn, func(s *Statement) { s.Issuer, s.By = ngo, ngo })}, false, false},
		"asked for":              {[]*Statement{request(ngo)}, false, true},
		"asked for by a class":   {[]*Statement{request(housing)}, false, true},
		"asked for by a third":   {[]*Statement{request("eastshire-police")}, false, false},
		"stands":                 {[]*Statement{stands, request(ngo)}, false, false},
		"another request stands": {[]*Statement{request(ngo), of(ActStands, nil)}, false, true},
		"from another alone":     {[]*Statement{of(ActWithdrawn, func(s *Statement) { s.To = housing })}, false, false},
		"stands, then withdrawn": {[]*Statement{request(ngo), stands, of(ActWithdrawn, nil)}, true, false},
	} {
		h := Stand(&c, v.statements, nil, parties)
		if h.Withdrawn != v.withdrawn || h.Stopped != v.stopped {
			t.Errorf("%s: withdrawn %v, stopped %v", name, h.Withdrawn, h.Stopped)
		}
	}
	h := Stand(&c, []*Statement{of(ActWithdrawn, func(s *Statement) { s.To = ngo })}, nil, parties)
	use := testUse()
	if v := Evaluate([]Held{h}, c.Basis(), use, given.Add(2*time.Hour)); v.Code() != ReasonWithdrawn {
		t.Errorf("withdrawn from the recipient: %v", v)
	}
	use.To = Party{housing, schemas.RoleSupportProvider, ""}
	if v := Evaluate([]Held{h}, c.Basis(), use, given.Add(2*time.Hour)); !v.Allowed {
		t.Errorf("withdrawn from another: %v", v)
	}
	newer := testCertificate()
	newer.ID, newer.Supersedes, newer.Issued = "5f0c1f6e-0000-4000-8000-00000000000e", c.ID, given.Add(2*time.Hour)
	h = Stand(&c, nil, []*Certificate{&newer}, parties)
	for at, code := range map[time.Time]string{given.Add(time.Hour): "", newer.Issued: ReasonSuperseded} {
		if v := Evaluate([]Held{h}, c.Basis(), testUse(), at); v.Code() != code {
			t.Errorf("superseded, at %s: %v", at, v)
		}
	}
	newer.Issuer = ngo
	if h := Stand(&c, nil, []*Certificate{&newer}, parties); !h.Superseded.IsZero() {
		t.Error("another agency replaced the police's certificate")
	}
}

// The order in which statements come does not matter.
func TestStandConverges(t *testing.T) {
	c := testCertificate()
	rapid.Check(t, func(t *rapid.T) {
		ids := []string{"5f0c1f6e-0000-4000-8000-0000000000a1", "5f0c1f6e-0000-4000-8000-0000000000a2", "5f0c1f6e-0000-4000-8000-0000000000a3"}
		var list []*Statement
		for range rapid.IntRange(0, 6).Draw(t, "statements") {
			s := testStatement(rapid.SampledFrom([]Act{ActWithdrawn, ActRequested, ActStands, ActReconfirmed}).Draw(t, "act"))
			s.ID = rapid.SampledFrom(ids).Draw(t, "id")
			if s.Act == ActStands {
				s.Answers = rapid.SampledFrom(ids).Draw(t, "answers")
			}
			list = append(list, &s)
		}
		want := Stand(&c, list, nil, parties)
		shuffled := slices.Clone(list)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got := Stand(&c, shuffled, nil, parties)
		if got.Withdrawn != want.Withdrawn || got.Stopped != want.Stopped || len(got.Reconfirmed) != len(want.Reconfirmed) {
			t.Fatal("the order decides")
		}
	})
}

func TestReconfirm(t *testing.T) {
	c := testCertificate()
	c.Consent.Onward = schemas.OnwardReconfirm
	use := testUse()
	use.From, use.To = Party{ID: ngo}, Party{housing, schemas.RoleSupportProvider, ""}
	asked := testStatement(ActReconfirmed)
	for name, v := range map[string]struct {
		statements []*Statement
		at         time.Time
		want       string
	}{
		"not asked":     {nil, asked.At, ReasonReconfirm},
		"asked":         {[]*Statement{&asked}, asked.At, ""},
		"long ago":      {[]*Statement{&asked}, asked.At.Add(ReconfirmedFor + 1), ReasonReconfirm},
		"asked too far": {[]*Statement{&asked}, asked.At.Add(-6 * time.Minute), ReasonReconfirm},
	} {
		if got := Evaluate([]Held{Stand(&c, v.statements, nil, parties)}, c.Basis(), use, v.at); got.Code() != v.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	use.To = Party{ID: police}
	if got := Evaluate([]Held{{Certificate: &c}}, c.Basis(), use, asked.At); !got.Allowed {
		t.Errorf("back to the issuer: %v", got)
	}
}

func FuzzReadStatement(f *testing.F) {
	for _, act := range []Act{ActWithdrawn, ActRequested, ActStands, ActReconfirmed} {
		s := testStatement(act)
		signer, _ := testSigner(f, s.By, 1)
		text, err := SignStatement(s, signer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadStatement(text)
		if (s == nil) == (err == nil) {
			t.Fatal("neither or both")
		}
		if err == nil {
			line, _, e := envelope.ParseLine([]byte(text), MaxStatement)
			if e != nil || line.Signer == "" || strings.Count(text, "\n") != 3 {
				t.Fatal("accepted in another form")
			}
		}
	})
}

var _ note.Signer = (*seedSigner)(nil)
