package store

import (
	"database/sql/driver"
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrText: a string was to be stored that PostgreSQL's text cannot hold and a dump cannot carry. Nothing was stored.
var ErrText = errors.New("text to be stored must be UTF-8 without NUL")

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// asText is a string that is asked for as a database of text can be asked. What is no text cannot be there; the replacement finds
// nothing either.
func asText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// refused stands for an argument that must not be stored: the statement fails with ErrText and does not reach the database.
type refused struct{}

// Value implements driver.Valuer.
func (refused) Value() (driver.Value, error) { return nil, ErrText }

// refuse replaces what must not be stored among the arguments of a statement, and leaves what is only looked for.
func refuse(query string, args []any) {
	for i, a := range args {
		if s, ok := a.(string); ok && !isText(s) && stores(query, i+1) {
			args[i] = refused{}
		}
	}
}

// stores tells whether the nth argument of a statement becomes the value of a column, and is not only compared with one.
func stores(query string, nth int) bool {
	end := len(query)
	switch verb, _, _ := strings.Cut(strings.TrimSpace(query), " "); verb {
	case "INSERT":
	case "UPDATE":
		end = topWhere(query)
	default:
		return false
	}
	for n, at := range placeholders(query) {
		if n == nth && at < end {
			return true
		}
	}
	return false
}

// topWhere is where the WHERE of a statement begins, not that of a query inside it; its end if there is none.
func topWhere(query string) int {
	depth := 0
	for i := range len(query) {
		switch query[i] {
		case '(':
			depth++
		case ')':
			depth--
		case 'W':
			if depth == 0 && strings.HasPrefix(query[i:], "WHERE") {
				return i
			}
		}
	}
	return len(query)
}
