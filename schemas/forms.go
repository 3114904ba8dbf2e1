package schemas

import (
	"regexp"
	"strings"
)

// Forms by hand: they are checked many times for every message, and to match a pattern costs ten times as much. A test holds
// each against its pattern, which is what the schemas say.
const (
	codePattern      = `^[a-z][a-z0-9-]{0,63}$`
	pseudonymPattern = `^[A-Za-z0-9][A-Za-z0-9_-]{2,62}[A-Za-z0-9]$`
	phonePattern     = `^\+?[0-9(][0-9 ()./-]{1,28}[0-9]$`
	emailPattern     = `^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}$`
	languagePattern  = `^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*$`
)

// chars is a set of classes of ASCII characters.
type chars uint8

const (
	lower chars = 1 << iota
	upper
	digit
	hyphen
	lowerHex // digits too
	mailbox  // what an address has besides letters, digits and hyphens
	dialled  // what a number has besides digits and hyphens
	underscore

	letter       = lower | upper
	alphanumeric = letter | digit
)

var charsOf = func() (of [256]chars) {
	for c, list := range map[chars]string{
		lower: "abcdefghijklmnopqrstuvwxyz", upper: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", digit: "0123456789", hyphen: "-",
		lowerHex: "0123456789abcdef", mailbox: "._%+'", dialled: " ()./", underscore: "_",
	} {
		for i := range len(list) {
			of[list[i]] |= c
		}
	}
	return of
}()

// only reports whether every byte of s is of one of the classes.
func only(s string, allowed chars) bool {
	for i := range len(s) {
		if charsOf[s[i]]&allowed == 0 {
			return false
		}
	}
	return true
}

// ValidCode reports whether s is written like a code: a basis, a reason, a code of an outcome. Whether it is known is
// another question.
func ValidCode(s string) bool { return validWord(s, 64) }

// validWord reports whether s is a lower-case letter and then such letters, digits and hyphens, at most so many in all.
func validWord(s string, most int) bool {
	return s != "" && len(s) <= most && charsOf[s[0]]&lower != 0 && only(s, lower|digit|hyphen)
}

func validUUID(s string, version byte) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[14] != version || s[18] != '-' || s[23] != '-' {
		return false
	}
	if v := s[19]; v != '8' && v != '9' && v != 'a' && v != 'b' {
		return false
	}
	return only(s[:8], lowerHex) && only(s[9:13], lowerHex) && only(s[14:18], lowerHex) && only(s[19:23], lowerHex) && only(s[24:], lowerHex)
}

func validPseudonym(s string) bool {
	return len(s) >= 4 && len(s) <= 64 && only(s, alphanumeric|underscore|hyphen) && only(s[:1], alphanumeric) && only(s[len(s)-1:], alphanumeric)
}

func validPhone(s string) bool {
	s = strings.TrimPrefix(s, "+")
	return len(s) >= 3 && len(s) <= 30 && (s[0] == '(' || only(s[:1], digit)) && only(s[1:], digit|hyphen|dialled) && only(s[len(s)-1:], digit)
}

func validEmail(s string) bool {
	local, domain, _ := strings.Cut(s, "@")
	if len(local) < 1 || len(local) > 64 || !only(local, alphanumeric|hyphen|mailbox) {
		return false
	}
	dot := strings.LastIndexByte(domain, '.')
	if dot < 0 {
		return false
	}
	if last := domain[dot+1:]; len(last) < 2 || len(last) > 24 || !only(last, letter) {
		return false
	}
	for label := range strings.SplitSeq(domain[:dot], ".") {
		if label == "" || !only(label, alphanumeric|hyphen) {
			return false
		}
	}
	return true
}

var languageForm = regexp.MustCompile(languagePattern)

// validLanguage knows by hand the tags without script, region or variant, which are nearly all.
func validLanguage(s string) bool {
	if len(s) <= 3 {
		return len(s) >= 2 && only(s, lower)
	}
	return languageForm.MatchString(s)
}
