package interchange

import (
	"bufio"
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// delimiter looks at the first line without taking it, but takes a byte order mark.
func delimiter(in *bufio.Reader) (rune, error) {
	const save = "save the file as CSV in UTF-8 (in a spreadsheet: \"CSV UTF-8\")"
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = in.Discard(3)
	}
	first, _ := in.Peek(16 << 10) // what is shorter ends here; a real error comes again with the first row
	if i := bytes.IndexByte(first, '\n'); i >= 0 {
		first = first[:i]
	}
	switch {
	case bytes.HasPrefix(first, []byte{0xff, 0xfe}), bytes.HasPrefix(first, []byte{0xfe, 0xff}), bytes.IndexByte(first, 0) >= 0:
		return 0, &FileError{1, RuleEncoding, "this is not UTF-8 (UTF-16 perhaps, or no text); " + save}
	case bytes.HasPrefix(first, []byte("PK")):
		return 0, &FileError{1, RuleEncoding, "this is a workbook or an archive; " + save}
	case !utf8.Valid(trimPart(first)):
		return 0, &FileError{1, RuleEncoding, save}
	}
	commas, semicolons := bytes.Count(first, []byte(",")), bytes.Count(first, []byte(";"))
	switch {
	case commas > 0 && semicolons > 0:
		return 0, &FileError{1, RuleDelimiter, "the first row has commas and semicolons; names of columns have neither"}
	case semicolons > 0:
		return ';', nil
	case commas == 0 && bytes.IndexByte(first, '\t') >= 0:
		return 0, &FileError{1, RuleDelimiter, "separate the cells with commas or semicolons, not tabs"}
	}
	return ',', nil
}

// trimPart takes away a character that the look ahead cut in two.
func trimPart(b []byte) []byte {
	for i := 1; i <= utf8.UTFMax && i <= len(b); i++ {
		if utf8.RuneStart(b[len(b)-i]) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

// header finds the column of every name. Names that nobody knows are not repeated: without a header the first row is data.
func header(names []string) ([]Column, error) {
	var out []Column
	for i, name := range names {
		place := "column " + strconv.Itoa(i+1)
		j := slices.IndexFunc(columns, func(c Column) bool { return c.shape != fixed && c.Name == name })
		if j < 0 {
			hint := place + " has a name that is not known; `waypost agent import --columns` lists the names. Does the first row hold names?"
			for _, c := range columns {
				if c.shape != fixed && folded(c.Name) == folded(name) {
					hint = place + " is written " + c.Name
				}
			}
			return nil, &FileError{1, RuleUnknownColumn, hint}
		}
		if slices.ContainsFunc(out, func(c Column) bool { return c.Name == name }) {
			return nil, &FileError{1, RuleDoubleColumn, place + " is there twice: " + name}
		}
		out = append(out, columns[j])
	}
	for _, name := range needed {
		if !slices.ContainsFunc(out, func(c Column) bool { return c.Name == name }) {
			return nil, &FileError{1, RuleMissingColumn, "the file needs a column " + name}
		}
	}
	return out, nil
}

func folded(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(name))
}
