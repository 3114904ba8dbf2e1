package consentpage

import (
	"math"
	"unicode"
)

// The sheet inside its margins, in points: A4 less what page.html says.
const (
	sheetWidth  = (210 - 2*14) * 72 / 25.4
	sheetHeight = (297 - 2*11) * 72 / 25.4
	largest     = 13.5
	smallest    = 7.5
	spare       = 0.97 // of the sheet: fonts differ between machines
)

// fit returns the largest type size with which everything stands on one sheet. Long lists are set smaller, never cut. It
// follows the measures of page.html; TestPrint compares the two by printing.
func fit(v *view) float64 {
	for size := largest; size > smallest; size -= 0.25 {
		if height(v, size) <= sheetHeight*spare {
			return size
		}
	}
	return smallest
}

// height of the page in points.
func height(v *view, size float64) float64 {
	lead := 1.4
	if v.Dir == "rtl" {
		lead = 1.5
	}
	full, column, boxed := sheetWidth/size, (sheetWidth/size-1.6)/2, sheetWidth/size-1.6-8/size
	paragraph := func(text string, width, scale float64) float64 {
		if text == "" {
			return 0
		}
		return (lines(text, width/scale)*lead + 0.35) * scale
	}
	section := func(heading string, items []string, after ...string) float64 {
		h := lines(heading, column/1.15)*1.15*lead + 0.2
		for _, item := range items {
			h += lines(item, column-1.1)*lead + 0.1
		}
		for _, text := range after {
			h += paragraph(text, column, 1)
		}
		return h + 0.35
	}
	ask := ""
	if v.AskNames {
		ask = v.T["ask_names"]
	}
	h := 1.7*lead + 0.3 + paragraph(v.T["intro"], full, 1) + 0.6
	h += max(section(v.T["share"], v.Share), section(v.T["with"], v.With, v.Onward, ask)) + 0.7
	h += max(section(v.T["for"], v.For), section(v.T["not"], v.Not, v.T["not_rest"])) + 0.6
	box := 1.15*lead + 0.2 + 1.1 + 0.6 + 8/size
	h += box + paragraph(v.Span, boxed, 1) + paragraph(v.Review, boxed, 1) + paragraph(v.Ended, boxed, 1)
	h += box + paragraph(v.T["change_how"], boxed, 1) + paragraph(v.T["change_then"], boxed, 1) + paragraph(v.T["free"], boxed, 0.95) + 0.6
	if v.Contact != "" {
		h += paragraph(v.T["contact_given"]+" "+v.Contact, full, 1)
	} else {
		h += paragraph(v.T["contact_line"], full, 1) + 2.9
	}
	h += 0.35 + paragraph(v.T["keep"], full, 0.8) + paragraph(v.T["code"]+" 0000", full, 0.8) + paragraph(v.Unchecked+" "+v.UncheckedEnglish, full, 0.8)
	return h * size
}

// lines is how many lines a text takes in a width given in ems. Words do not break, so a part of each line stays empty.
func lines(text string, width float64) float64 {
	w := 0.0
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Han, r) || r >= 0x3000 && r < 0x3040 || r >= 0xff00 && r < 0xff60:
			w++
		case unicode.Is(unicode.Arabic, r):
			w += 0.5
		default:
			w += 0.48
		}
	}
	if w <= width {
		return 1
	}
	return math.Ceil(w / (width - 1))
}
