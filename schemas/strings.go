package schemas

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// stringRule is one named rule for strings. The validator's tag and the JSON Schema come from the same row.
type stringRule struct {
	name    string
	hint    string
	pattern string // for the schema; also the check itself when there is no function
	format  string // JSON Schema format, asserted
	check   func(string) bool
	maxLen  int
	enum    func() []string
	re      *regexp.Regexp
}

func (r *stringRule) holds(s string) bool {
	switch {
	case r.maxLen > 0 && utf8.RuneCountInString(s) > r.maxLen:
		return false
	case r.check != nil:
		return r.check(s)
	default:
		return r.re.MatchString(s)
	}
}

const datePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`

// stringRules is built once and never changed.
var stringRules = compiled([]stringRule{
	{name: RuleLine, check: isLine, hint: "write one line of plain text, without control, direction-override or hidden characters"},
	{name: RuleProse, check: isProse, hint: "write plain text, without control, direction-override or hidden characters"},
	{name: RuleDate, check: isDate, pattern: datePattern, format: "date", hint: "write a date as YYYY-MM-DD"},
	{name: "partial_date", pattern: `^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$`, hint: "write YYYY, YYYY-MM or YYYY-MM-DD"},
	{name: "agency", check: ValidAgencyID, pattern: agencyIDPattern, hint: "use the agency's id: lower-case letters, digits and hyphens"},
	{name: "message_id", check: ValidMessageID, pattern: messageIDPattern, hint: "use a UUIDv7 in lower case"},
	{name: "thread_id", check: ValidThreadID, pattern: threadIDPattern, hint: "use a random UUID (version 4) in lower case"},
	{name: "pseudonym", check: validPseudonym, pattern: pseudonymPattern, hint: "make up an id of letters, digits and hyphens; do not derive it from the person's data"},
	{name: "reason_code", check: ValidCode, pattern: codePattern, hint: "use a reason code: lower-case letters, digits and hyphens"},
	{name: "phone", check: validPhone, pattern: phonePattern, hint: "write the number with digits, spaces, brackets or hyphens, best with +country code"},
	{name: "email_address", maxLen: 254, check: validEmail, pattern: emailPattern, hint: "write an e-mail address such as name@example.org"},
	{name: "language", maxLen: 35, check: validLanguage, pattern: languagePattern, hint: "use a BCP 47 language tag such as en, vi or ku-Latn"},
	{name: "region", pattern: `^[A-Z]{2}-[A-Z0-9]{1,3}$`, hint: "use an ISO 3166-2 code such as GB-NBL"},
	{name: "country", enum: Countries, check: isCountry, hint: "use an ISO 3166-1 code of two capital letters such as GB"},
})

func compiled(rules []stringRule) []stringRule {
	for i := range rules {
		if rules[i].pattern != "" && rules[i].check == nil {
			rules[i].re = regexp.MustCompile(rules[i].pattern)
		}
	}
	return rules
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil && len(s) == len(time.DateOnly)
}

func isLine(s string) bool  { return isText(s, false) }
func isProse(s string) bool { return isText(s, true) }

// isText accepts text of any script and refuses what a reader cannot see but a program obeys: control
// characters, direction overrides, embeddings and isolates (text that reads differently from what it says), and
// zero-width characters where no script needs them. Joiners stay where Persian, Arabic, the scripts of India
// and emoji need them: after a visible character that is not ASCII. Text of spaces alone is refused too.
func isText(s string, prose bool) bool {
	visible := false
	joinable := false
	for _, r := range s {
		if r < utf8.RuneSelf { // most text; the tables below say the same
			switch {
			case r == ' ', prose && (r == '\n' || r == '\t'):
			case r < ' ', r == 0x7f:
				return false
			default:
				visible = true
			}
			joinable = false
			continue
		}
		switch {
		case prose && (r == '\n' || r == '\t'):
			joinable = false
		case forbiddenRune(r):
			return false
		case joiner(r):
			if !joinable {
				return false
			}
			joinable = false
		case blank(r):
			joinable = false
		default:
			visible = true
			joinable = r >= utf8.RuneSelf
		}
	}
	return visible
}

// forbidden are the runes that no text may hold; newline and tab are excepted in prose.
var forbidden = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0000, 0x001f, 1}, {0x007f, 0x009f, 1}, // controls
		{0x180e, 0x180e, 1}, // Mongolian vowel separator, invisible elsewhere
		{0x2028, 0x202e, 1}, // line separators, direction embeddings and overrides
		{0x2060, 0x206f, 1}, // word joiner, invisible operators, isolates, deprecated controls
		{0xfeff, 0xfeff, 1}, // byte order mark
		{0xfff9, 0xfffb, 1}, // interlinear annotation
		{0xfffe, 0xffff, 1}, // not characters
	},
	R32: []unicode.Range32{
		{0xe0000, 0xe007f, 1}, // tags: a whole hidden text in one flag
	},
}

// joiners are zero-width characters that some scripts need inside words.
var joiners = &unicode.RangeTable{R16: []unicode.Range16{{0x200b, 0x200d, 1}}}

// blanks show nothing: spaces and the direction marks that mixed Arabic, Hebrew and Latin text needs.
var blanks = &unicode.RangeTable{R16: []unicode.Range16{
	{0x0020, 0x0020, 1}, {0x00a0, 0x00a0, 1}, {0x00ad, 0x00ad, 1}, {0x034f, 0x034f, 1}, {0x061c, 0x061c, 1},
	{0x115f, 0x1160, 1}, {0x1680, 0x1680, 1}, {0x2000, 0x200a, 1}, {0x200e, 0x200f, 1}, {0x202f, 0x202f, 1},
	{0x205f, 0x205f, 1}, {0x2800, 0x2800, 1}, {0x3000, 0x3000, 1}, {0x3164, 0x3164, 1}, {0xffa0, 0xffa0, 1},
}}

func forbiddenRune(r rune) bool { return unicode.Is(forbidden, r) }
func joiner(r rune) bool        { return unicode.Is(joiners, r) }
func blank(r rune) bool         { return unicode.Is(blanks, r) }

func isCountry(s string) bool { return len(s) == 2 && strings.Contains(countryCodes, s+" ") }

// Countries returns the ISO 3166-1 alpha-2 codes.
func Countries() []string { return strings.Fields(countryCodes) }

// Source: ISO 3166-1 (officially assigned codes). XK is not assigned but in common use for Kosovo.
const countryCodes = `AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ ` +
	`CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR ` +
	`GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP ` +
	`KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ ` +
	`NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW ` +
	`SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ ` +
	`UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW `
