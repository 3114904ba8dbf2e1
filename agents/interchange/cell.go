package interchange

import "strings"

// formula are the characters with which a spreadsheet begins to compute, in both widths.
const formula = "=+-@\t\r\n＝＋－＠"

func risky(cell string) bool {
	if cell != "" && strings.ContainsRune("\t\r\n", rune(cell[0])) {
		return true
	}
	first := strings.TrimLeft(cell, " \u00a0\u3000")
	for _, r := range first {
		return strings.ContainsRune(formula, r)
	}
	return false
}

// Guard makes a text safe to open in a spreadsheet: see the package documentation for the rule.
func Guard(cell string) string {
	if risky(cell) || strings.HasPrefix(cell, "'") {
		return "'" + cell
	}
	return cell
}

// Unguard undoes Guard. A text that never went through it keeps its apostrophe, unless a guard could have put it there.
func Unguard(cell string) string {
	if rest, ok := strings.CutPrefix(cell, "'"); ok && (risky(rest) || strings.HasPrefix(rest, "'")) {
		return rest
	}
	return cell
}
