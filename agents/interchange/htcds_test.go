package interchange

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"waypost/schemas"
)

func yes() *bool { b := true; return &b }

// full is a referral in which every text that anybody could write is a canary; fill finds them by reflection, so that a new
// field is in it too.
func full() *schemas.Referral {
	r := new(schemas.Referral)
	n := 0
	fill(reflect.ValueOf(r).Elem(), &n)
	r.Purposes, r.Needs = []schemas.Purpose{"accommodation"}, []schemas.Need{"repatriation", "medical"}
	r.Person.Gender, r.Person.Nationalities = "trans-man", []schemas.Country{"VN", "GB"}
	r.Language.Preferred, r.Language.Others = "sq", []schemas.LanguageTag{"zh-Hans"}
	r.Exploitation.Types = []schemas.ExploitationType{"debt-bondage", "sexual", "criminal"}
	r.Exploitation.Countries, r.Exploitation.From = []schemas.Country{"GB"}, "2024-05-17"
	r.Exploitation.Controls, r.Exploitation.Industries = []schemas.ControlMethod{"takes-earnings"}, []schemas.Industry{"F", "A"}
	r.Exploitation.Exploiters[0].Relationship = "unacquainted"
	r.Dependants[0].Relationship = "child"
	r.NRM.ReasonableGrounds, r.NRM.ConclusiveGrounds = "positive", "positive"
	r.SafeContact.DoNotContact = false
	return r
}

func fill(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.String:
		*n++
		v.SetString(fmt.Sprintf("canary%d", *n))
	case reflect.Bool:
		v.SetBool(true)
	}
}

var sent = time.Date(2026, time.March, 1, 23, 30, 0, 0, time.FixedZone("", -3600))

func record(r *schemas.Referral) Record {
	return Record{Thread: "5f0c1f6e-0000-4000-8000-000000000001", Referral: r, Incoming: true, Sent: sent, From: "north-police", To: "harbour-ngo", FromRole: schemas.RolePolice, Consent: true}
}

func once(rec Record) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) { yield(rec, nil) }
}

func pseudonym(thread string) string { return "p-" + thread[len(thread)-1:] }

// export returns the single row by column.
func export(t *testing.T, rec Record, identified bool) (map[string]string, string) {
	t.Helper()
	var b bytes.Buffer
	n, err := WriteHTCDS(&b, once(rec), Options{Pseudonym: pseudonym, Identified: identified})
	if err != nil || n != 1 {
		t.Fatalf("%d rows: %v", n, err)
	}
	text := b.String()
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d lines: %v", len(rows), err)
	}
	out := map[string]string{}
	for i, name := range rows[0] {
		if rows[1][i] != "" {
			out[name] = rows[1][i]
		}
	}
	return out, text
}

// TestHTCDSPseudonymous: of everything anybody could write, nothing is in the row; the row is what is said here and no more.
func TestHTCDSPseudonymous(t *testing.T) {
	got, text := export(t, record(full()), false)
	if strings.Contains(text, "canary") || strings.Contains(text, "5f0c1f6e") {
		t.Errorf("the row identifies somebody: %v", got)
	}
	want := map[string]string{
		RecordID: "p-1", "org_Name": "north-police", "org_Type": "LawEnforcement", "prs_Gender": "TransgenderMasculine", "prs_NumberOfChildren": "1",
		"prs_PrimaryLanguage": "sqi", "prs_SecondaryLanguage": "zho", "prs_Citizenship": "VN;GB", "vic_TraffickingStatus": "ActualVictimOfTrafficking",
		"vic_RelationshipToTrafficker": "Unaquainted", "vic_MethodsOfControl": "TakesEarnings;DebtBondage", "vic_TypeOfExploitation": "Other;SexualExploitation",
		"vic_ForcedLabourIndustry": "F_Construction", "cas_ReferringOrganisation": "north-police", "cas_IncomingReferralDate": "2026-03-02",
		"cas_ReasonForIncomingReferral": "AdditionalServicesRequired", "cas_ReferredOrganisation": "harbour-ngo", "hte_Country": "GB", "hte_Date": "2024",
		"hte_Type": "Exploitation", "con_Consent": "true",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestHTCDSIdentified: names and numbers are there, but no way to reach a survivor who did not allow it.
func TestHTCDSIdentified(t *testing.T) {
	r := full()
	r.Person.Contact.Phones[0].Number, r.Person.Contact.Emails[0] = "+441632960100", "test@example.org"
	got, _ := export(t, record(r), true)
	for _, column := range []string{"prs_FirstName", "prs_SecondName", "prs_Birthdate", "prs_IdentityNumber", "cas_IncomingReferralDetails", "cas_ReferringPrimaryCaseWorker", "hte_City", "hte_Description", "prs_MailingStreet"} {
		if !strings.Contains(got[column], "canary") {
			t.Errorf("%s is empty", column)
		}
	}
	if got["prs_MobilePhone"] != "'+441632960100" || got["prs_Email"] != "test@example.org" || got["hte_Date"] != "2024-05-17" {
		t.Errorf("contact %q %q, date %q", got["prs_MobilePhone"], got["prs_Email"], got["hte_Date"])
	}
	for name, forbid := range map[string]func(*schemas.Referral){
		"do not contact":  func(r *schemas.Referral) { r.SafeContact.DoNotContact = true },
		"no instructions": func(r *schemas.Referral) { r.SafeContact = nil },
		"no channel":      func(r *schemas.Referral) { r.SafeContact = &schemas.SafeContact{MayText: yes()} },
	} {
		r := full()
		forbid(r)
		got, _ := export(t, record(r), true)
		for _, column := range []string{"prs_MobilePhone", "prs_Email", "prs_MailingStreet", "prs_MailingPostalCode", "prs_MailingCountry"} {
			if got[column] != "" {
				t.Errorf("%s: %s is exported", name, column)
			}
		}
	}
}

// TestHTCDSSparse: a referral that says little makes a row that invents nothing.
func TestHTCDSSparse(t *testing.T) {
	rec := record(&schemas.Referral{Person: &schemas.Person{Gender: "woman"}, NRM: &schemas.NRM{ReasonableGrounds: "negative"}})
	rec.Incoming, rec.Consent, rec.FromRole = false, false, schemas.RoleGuardian
	got, _ := export(t, rec, true)
	want := map[string]string{RecordID: "p-1", "org_Name": "north-police", "prs_Gender": "Feminine", "cas_ReferringOrganisation": "north-police",
		"cas_ReferredOrganisation": "harbour-ngo", "cas_OutgoingReferralDate": "2026-03-02", "con_Consent": "false"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestHTCDSErrors: no pseudonym, no row; and an error of the source ends the export.
func TestHTCDSErrors(t *testing.T) {
	broken := errors.New("broken")
	fails := func(yield func(Record, error) bool) {
		if yield(record(full()), nil) {
			yield(Record{}, broken)
		}
	}
	if n, err := WriteHTCDS(new(bytes.Buffer), fails, Options{Pseudonym: pseudonym}); n != 1 || !errors.Is(err, broken) {
		t.Errorf("%d %v", n, err)
	}
	for _, o := range []Options{{}, {Pseudonym: func(string) string { return "" }}} {
		var b bytes.Buffer
		if n, err := WriteHTCDS(&b, once(record(full())), o); n != 0 || err == nil || slices.Contains(strings.Split(b.String(), "\n"), "5f0c1f6e") {
			t.Errorf("%d %v", n, err)
		}
	}
}
