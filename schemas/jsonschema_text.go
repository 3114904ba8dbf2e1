package schemas

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

func (r *stringRule) jsonSchema() object {
	o := object{"type": "string", "minLength": 1}
	switch {
	case r.enum != nil:
		return object{"type": "string", "enum": r.enum()}
	case r.name == RuleLine:
		o["allOf"] = textPatterns(false)
	case r.name == RuleProse:
		o["allOf"] = textPatterns(true)
	default:
		o["pattern"] = r.pattern
	}
	if r.format != "" {
		o["format"] = r.format
	}
	if r.maxLen > 0 {
		o["maxLength"] = r.maxLen
	}
	return o
}

// textPatterns says isText as two patterns: every joiner follows a visible character that is not ASCII, and
// something is visible.
func textPatterns(prose bool) []any {
	hidden := class(forbidden, prose)
	plain := `[^` + hidden + class(joiners, false) + `]`
	base := `[^` + "\x00-\x7f" + hidden + class(joiners, false) + class(blanks, false) + `]`
	return []any{
		object{"pattern": `^(?:` + plain + `|` + base + `[` + class(joiners, false) + `])*$`},
		object{"pattern": `[^` + class(blanks, false) + class(joiners, false) + "\t\n" + `]`},
	}
}

// class writes a range table as the inside of a character class, of characters and not escapes: the escapes
// differ between the engines that read JSON Schemas.
func class(table *unicode.RangeTable, prose bool) string {
	var b strings.Builder
	span := func(lo, hi rune) {
		b.WriteRune(lo)
		if hi > lo {
			b.WriteString("-" + string(hi))
		}
	}
	for _, r := range table.R16 {
		if prose && r.Lo == 0 {
			span(0, '\t'-1)
			span('\n'+1, rune(r.Hi))
			continue
		}
		span(rune(r.Lo), rune(r.Hi))
	}
	for _, r := range table.R32 {
		span(rune(r.Lo), rune(r.Hi))
	}
	return b.String()
}

// ascii escapes what is not ASCII: the patterns name invisible characters, which must not stand raw in a file
// that people read.
func ascii(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		switch {
		case r < 0x7f:
			out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}
