package schemas

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestReadmeFresh keeps README.md what the catalogue and the types say. After a change run
// go test ./schemas -run TestReadmeFresh -update
func TestReadmeFresh(t *testing.T) {
	want := readme(t)
	if *update {
		if err := os.WriteFile("README.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("README.md is not what the types say; run: go test ./schemas -run TestReadmeFresh -update")
	}
	for _, e := range Catalogue() {
		if !bytes.Contains(got, []byte("\n## "+string(e.Kind)+"\n")) {
			t.Errorf("no section for %s", e.Kind)
		}
	}
}

func readme(t *testing.T) []byte {
	var b bytes.Buffer
	w := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	w("# The catalogue\n\nWhat agencies can say to one another. This page is made from the types: `go test ./schemas -run TestReadmeFresh -update`.\n\n")
	w("| kind | what it is | from | to | lanes |\n|---|---|---|---|---|\n")
	for _, e := range Catalogue() {
		w("| [%s](#%s) | %s | %s | %s | %s |\n", e.Kind, e.Kind, e.About, roleWords(e.From), roleWords(e.To), laneWords(e.Lanes))
	}
	w("\nEvery document is one JSON object in UTF-8: no member that the schema does not know, none twice, no null, no empty text or list\n(what is not known is left out), at most 1 MiB and 32 levels. Each member has a data category; consent and agreements are asked\nfor the categories of the members that are set. `case-admin` is not about the survivor and needs neither.\n")
	for _, e := range Catalogue() {
		w("\n## %s\n\n%s\n\n", e.Kind, e.About)
		w("- From %s to %s, in the lane%s %s.\n", roleWords(e.From), roleWords(e.To), plural(len(e.Lanes)), laneWords(e.Lanes))
		switch {
		case e.Control:
			w("- Serves consent itself: flows between all agencies without an agreement, under the certificate that it is about.\n")
		case e.Answer:
			w("- Answers a %s (`reply_to`), and flows where that may be sent in the other direction.\n", e.Follows)
		case e.Follows != "":
			w("- Flows under an agreement on `%s`, or on what may be sent as `%s` in either direction.\n", e.Kind, e.Follows)
		case e.Kind != KindReceipt:
			w("- Needs an agreement on `%s`.\n", e.Kind)
		}
		if e.Impersonal {
			w("- Holds nothing about a survivor, so it travels without a basis.\n")
		}
		switch {
		case e.Clocked:
			w("- Has a response clock.\n")
		case e.MayClock:
			w("- Has a response clock when it comes from the agency that took the consent.\n")
		}
		if e.typ == nil {
			w("- Travels as a signed manifest without a body; `receipt.v1` is how it is shown to an agency's systems.\n")
			continue
		}
		p := reflect.New(e.typ).Interface()
		if u, ok := p.(Urgenter); ok {
			_ = u
			w("- Some of them must travel in the urgent lane.\n")
		}
		w("- JSON Schema: [%s.schema.json](%s.schema.json). Examples: %s.\n\n", e.Schema, e.Schema, exampleLinks(t, "testdata/"+string(e.Kind)))
		memberTable(&b, e.typ)
	}
	for _, x := range []struct{ title, words, schema, dir string }{
		{"consent-record", "What a survivor agreed to. The agency that took it signs it into a certificate.", SchemaConsentTerms, "testdata/consent-record"},
		{"holder-answer", "What a holder did after a withdrawal, as its system tells its agent.", SchemaHolderAnswer, "testdata/holder-answer"},
		{"submission", "The one document that an agency's system hands to its agent, for any kind: exactly one member is the message.", SchemaSubmission, "testdata/submission"},
	} {
		w("\n## %s\n\n%s\n\n- JSON Schema: [%s.schema.json](%s.schema.json). Examples: %s.\n\n", x.title, x.words, x.schema, x.schema, exampleLinks(t, x.dir))
		for _, s := range schemaTypes {
			if s.name == x.schema {
				memberTable(&b, s.typ)
			}
		}
	}
	w("\n## Code lists\n\n")
	for _, l := range codeLists {
		w("- <a id=\"%s\"></a>**%s**: `%s`\n", l.name, l.name, strings.Join(l.codes, "`, `"))
	}
	return b.Bytes()
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func roleWords(roles []Role) string {
	if len(roles) == 0 {
		return "any"
	}
	var words []string
	for _, r := range roles {
		words = append(words, string(r))
	}
	return strings.Join(words, ", ")
}

func laneWords(lanes []Lane) string {
	var words []string
	for _, l := range lanes {
		words = append(words, string(l))
	}
	return strings.Join(words, ", ")
}

func exampleLinks(t *testing.T, dir string) string {
	files, err := filepath.Glob(dir + "/*.json")
	if err != nil || len(files) == 0 {
		t.Errorf("no examples in %s", dir)
	}
	var links []string
	for _, f := range files {
		links = append(links, fmt.Sprintf("[%s](%s)", strings.TrimSuffix(filepath.Base(f), ".json"), filepath.ToSlash(f)))
	}
	return strings.Join(links, ", ")
}

// memberTable lists every member of a type by its path. A payload inside a submission is described in its own section.
func memberTable(b *bytes.Buffer, t reflect.Type) {
	fmt.Fprintf(b, "| member | form | category |\n|---|---|---|\n")
	var rows func(t reflect.Type, path string)
	rows = func(t reflect.Type, path string) {
		for m := range members(t) {
			own, items, _ := strings.Cut(m.field.Tag.Get("validate"), "dive")
			tags := tagsOf(own)
			elem := elemOf(m.field.Type)
			part := elem.Kind() == reflect.Struct && !isTime(elem)
			name := path + m.name
			if m.field.Type.Kind() == reflect.Slice {
				name += "[]"
			}
			if part {
				if p, ok := reflect.New(elem).Interface().(Payload); ok {
					fmt.Fprintf(b, "| `%s` | see [%s](#%s) | |\n", name, p.Kind(), p.Kind())
					continue
				}
				if elem == reflect.TypeFor[Consent]() {
					fmt.Fprintf(b, "| `%s` | see [consent-record](#consent-record) | |\n", name)
					continue
				}
			}
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, formWords(m.field.Type, tags, tagsOf(items), part), m.field.Tag.Get("category"))
			if part {
				rows(elem, name+".")
			}
		}
	}
	rows(t, "")
}

func formWords(t reflect.Type, tags, items map[string]string, part bool) string {
	var words []string
	if _, ok := tags["required"]; ok {
		words = append(words, "**required**")
	}
	rules := tags
	if t.Kind() == reflect.Slice {
		words = append(words, "up to "+tags["max"])
		rules = items
	}
	elem := elemOf(t)
	switch {
	case part:
		words = append(words, "part")
	case isTime(elem):
		words = append(words, "time (RFC 3339)")
	case elem.Kind() == reflect.Bool:
		words = append(words, "true or false")
	case elem.Kind() == reflect.Int:
		words = append(words, fmt.Sprintf("number %s to %s", rules["min"], rules["max"]))
	case codesOf(elem) != nil:
		i := slices.IndexFunc(codeLists, func(l codeList) bool { return l.typ == elem })
		words = append(words, fmt.Sprintf("[%s](#%s)", codeLists[i].name, codeLists[i].name))
	default:
		form := "text"
		for _, r := range stringRules {
			if _, ok := rules[r.name]; ok {
				form = strings.ReplaceAll(r.name, "_", " ")
			}
		}
		if n := rules["max"]; n != "" {
			form += ", up to " + n
		}
		words = append(words, form)
	}
	return strings.Join(words, ", ")
}
