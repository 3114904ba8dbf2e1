package consentpage

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"waypost/schemas"
)

func theBook(t *testing.T) *book {
	t.Helper()
	b, err := languages()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// entries are all strings of a language, by a name that is the same in every language.
func (w *words) entries() map[string][]string {
	out := map[string][]string{}
	for key, p := range w.Text {
		out["text."+key] = append(out["text."+key], p.one)
		if p.forms != nil {
			out["text."+key] = nil
			for _, text := range p.forms {
				out["text."+key] = append(out["text."+key], text)
			}
		}
	}
	add(out, "category.", w.Category)
	add(out, "purpose.", w.Purpose)
	add(out, "role.", w.Role)
	add(out, "withheld.", w.Withheld)
	return out
}

func add[T ~string](out map[string][]string, prefix string, list map[T]string) {
	for code, text := range list {
		out[prefix+string(code)] = []string{text}
	}
}

var placeholder = regexp.MustCompile(`%\[\d\][a-z]|%.?`)

func placeholders(s string) []string {
	p := placeholder.FindAllString(s, -1)
	slices.Sort(p)
	return p
}

// TestWordsComplete: every language says everything that English says, with the same placeholders, and in its own words.
func TestWordsComplete(t *testing.T) {
	b := theBook(t)
	if len(b.tags) < 6 || b.tags[0] != language.English {
		t.Fatalf("languages %v", b.tags)
	}
	english := b.words[language.English].entries()
	for _, tag := range b.tags {
		w := b.words[tag]
		have := w.entries()
		for key, texts := range english {
			if len(have[key]) == 0 {
				t.Errorf("%s has no %s", tag, key)
			}
			for _, text := range have[key] {
				if strings.TrimSpace(text) == "" || text != strings.TrimSpace(text) {
					t.Errorf("%s: %s is empty or has spaces around it", tag, key)
				}
				if got, want := placeholders(text), placeholders(texts[0]); !slices.Equal(got, want) {
					t.Errorf("%s: %s has placeholders %v, want %v", tag, key, got, want)
				}
				if tag != language.English && key != "text.date" && slices.Contains(texts, text) {
					t.Errorf("%s: %s is still English", tag, key)
				}
			}
		}
		say := newWriter(b, tag).say
		for _, key := range plain {
			if got := say.Sprintf(key); got != w.Text[key].one {
				t.Errorf("%s: %s is printed as %q", tag, key, got)
			}
		}
		for key := range have {
			if english[key] == nil {
				t.Errorf("%s: nobody asks for %s", tag, key)
			}
		}
		if slices.Contains(w.Months, "") || len(slices.Compact(slices.Sorted(slices.Values(w.Months)))) != 12 {
			t.Errorf("%s: months %v", tag, w.Months)
		}
		if w.Direction != map[bool]string{true: "rtl", false: "ltr"}[tag == language.Arabic] {
			t.Errorf("%s: direction %q", tag, w.Direction)
		}
		if w.Checked != (tag == language.English) {
			t.Errorf("%s: says checked %t; who did?", tag, w.Checked)
		}
	}
}

// TestWordsCodes: every code has plain words of its own, so that a survivor can tell one from another.
func TestWordsCodes(t *testing.T) {
	b := theBook(t)
	for _, tag := range b.tags {
		w := b.words[tag]
		codesHaveWords(t, tag, "category", w.Category)
		codesHaveWords(t, tag, "purpose", w.Purpose)
		codesHaveWords(t, tag, "role", w.Role)
		codesHaveWords(t, tag, "withheld-from", w.Withheld)
		if w.Role[schemas.RolePolice] != w.Withheld[schemas.WithheldFromPolice] {
			t.Errorf("%s: the same people have two names", tag)
		}
	}
}

func codesHaveWords[T ~string](t *testing.T, tag language.Tag, list string, words map[T]string) {
	t.Helper()
	codes := schemas.Codes(list)
	if len(codes) == 0 {
		t.Fatalf("there is no code list %s", list)
	}
	seen := map[string]string{}
	for _, code := range codes {
		text := words[T(code)]
		if text == "" {
			t.Errorf("%s: %s %s has no words", tag, list, code)
		}
		if other, ok := seen[text]; ok {
			t.Errorf("%s: %s %s and %s have the same words", tag, list, code, other)
		}
		seen[text] = code
	}
	for code := range words {
		if !slices.Contains(codes, string(code)) {
			t.Errorf("%s: %s has no code %s", tag, list, code)
		}
	}
}

// TestWordsPlural: a language has the plural forms that its numbers need, and no other.
func TestWordsPlural(t *testing.T) {
	names := map[plural.Form]string{plural.Other: "other", plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}
	b := theBook(t)
	for _, tag := range b.tags {
		need := []string{"other"}
		for n := range 400 {
			need = append(need, names[plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0)])
		}
		slices.Sort(need)
		need = slices.Compact(need)
		for key, p := range b.words[tag].Text {
			if p.forms == nil {
				continue
			}
			var have []string
			for form := range p.forms {
				have = append(have, form)
			}
			slices.Sort(have)
			if !slices.Equal(have, need) {
				t.Errorf("%s: %s has forms %v, needs %v", tag, key, have, need)
			}
		}
	}
}

// TestWordsPluralChosen: numbers, digits and dates come out as in the language.
func TestWordsPluralChosen(t *testing.T) {
	b := theBook(t)
	for _, c := range []struct {
		tag  language.Tag
		n    int
		want string
	}{
		{language.English, 1, "1 group that"}, {language.English, 2, "2 groups that"},
		{language.Polish, 1, "1 grupa,"}, {language.Polish, 3, "3 grupy, wybrane"}, {language.Polish, 5, "5 grup,"}, {language.Polish, 22, "22 grupy, wybrane"},
		{language.Romanian, 1, "1 grup ales"}, {language.Romanian, 19, "19 grupuri"}, {language.Romanian, 20, "20 de grupuri"},
		{language.Arabic, 1, "مجموعة واحدة (1)"}, {language.Arabic, 2, "مجموعتان (2)"}, {language.Arabic, 5, "5 مجموعات"}, {language.Arabic, 12, "12 مجموعة"},
		{language.Albanian, 2, "2 grupe"}, {language.Vietnamese, 3, "3 nhóm"}, {language.SimplifiedChinese, 3, "选定的3个"},
	} {
		if got := newWriter(b, c.tag).say.Sprintf("groups", c.n); !strings.Contains(got, c.want) || strings.Contains(got, "%!") {
			t.Errorf("%s %d: %q, want %q in it", c.tag, c.n, got, c.want)
		}
	}
}

// jargon must be on no page: words of offices, and words that tell whoever finds the page what it is about. The lists hold
// beginnings of words, as far as a language changes their ends.
var jargon = map[string][]string{
	"en": {"data", "process", "lawful", "basis", "controller", "nrm", "referral", "refer ", "exploit", "traffick", "victim", "slave", "disclos",
		"pseudonym", "consent", "police", "officer", "crim", "court", "prosecut", "investigat", "offend", "survivor", "safe house", "shelter", "agency",
		"certificate", "abuse", "withdraw", "immigration", "solicitor", "lawyer", "law firm", "interview", "evidence", "trial", "judge", "home office", "statement"},
	"sq":      {"polic", "trafik", "skllav", "viktim", "shfrytëz", "krim", "gjyq", "gjykat", "prokuror", "strehim", "hetim", "dhunë", "pseudonim", "agjenci"},
	"vi":      {"cảnh sát", "công an", "buôn người", "buôn bán", "nô lệ", "nạn nhân", "bóc lột", "tội", "tòa án", "công tố", "điều tra", "nhà tạm lánh", "bí danh"},
	"ro":      {"poliți", "trafic", "sclav", "victim", "exploat", "infracți", "penal", "tribunal", "procuror", "anchet", "adăpost", "abuz", "pseudonim", "agenți"},
	"ar":      {"شرط", "اتجار", "عبود", "رقيق", "ضحي", "ضحا", "استغلال", "جريم", "جنائي", "محكم", "نياب", "تحقيق", "ملجأ", "مأوى"},
	"pl":      {"polic", "handl", "niewol", "ofiar", "wyzysk", "przestęp", "karn", "sąd", "prokurat", "śledz", "schronis", "przemoc", "pseudonim", "agencj"},
	"zh-Hans": {"警", "贩", "奴", "受害", "剥削", "罪", "法院", "法庭", "检察", "调查", "庇护", "化名"},
}

// anywhere must not be on a page in any language.
var anywhere = []string{"police", "polizei", "nrm", "traffick", "waypost", "htcds"}

func TestWordsJargon(t *testing.T) {
	b := theBook(t)
	for _, tag := range b.tags {
		banned := append(slices.Clone(jargon[tag.String()]), anywhere...)
		if len(jargon[tag.String()]) < 10 {
			t.Errorf("%s has no list of jargon", tag)
		}
		for key, texts := range b.words[tag].entries() {
			for _, text := range texts {
				for _, word := range banned {
					// "policzyć" is Polish for to count.
					if strings.Contains(strings.ReplaceAll(strings.ToLower(text), "policz", ""), word) {
						t.Errorf("%s: %s says %q", tag, key, word)
					}
				}
			}
		}
	}
}

// TestFind: readers get their own language or a list, never one that they might manage to read.
func TestFind(t *testing.T) {
	b := theBook(t)
	for lang, want := range map[string]string{"en": "en", "en-GB": "en", "ar-SD": "ar", "zh": "zh-Hans", "zh-CN": "zh-Hans", "pl": "pl", "sq-XK": "sq"} {
		if got, err := b.find(lang); err != nil || got.String() != want {
			t.Errorf("%s: %v %v, want %s", lang, got, err, want)
		}
	}
	for _, lang := range []string{"", "de", "zh-Hant", "zh-TW", "ti", "ku", "x", "../en", "nonsense!"} {
		if got, err := b.find(lang); err == nil || !strings.Contains(err.Error(), "en, ar, pl, ro, sq, vi, zh-Hans") {
			t.Errorf("%q: %v %v, want the list", lang, got, err)
		}
	}
}
