package schemas

// Within reports whether a well-formed document is surely within the limits that [Strict] and [Readable] apply: size, depth,
// items, and no null. It is for who has just written or checked the document by other means; false means "ask Readable", not
// "no".
func Within(data []byte) bool { return len(data) <= MaxDocument && within(data, false) }

// within reports whether a document is surely within the limits: not too deep, no list too long, no null and, if they are to be
// refused, nothing empty. It looks at each byte once and builds nothing. False means "look closely", not "no". Of bytes that are
// not JSON it may say anything: the decoder stops at the first of them, and up to there the limits hold.
func within(data []byte, refuseEmpty bool) bool {
	var lists [MaxDepth + 1]bool // by depth: it is a list
	var items [MaxDepth + 1]int  // by depth: commas in it
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			begin := i + 1
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			if refuseEmpty && i == begin {
				return false
			}
		case '{', '[':
			if depth++; depth > MaxDepth {
				return false
			}
			lists[depth], items[depth] = data[i] == '[', 0
		case '}', ']':
			if depth == 0 || refuseEmpty && data[i] == ']' && emptyBefore(data[:i]) {
				return false
			}
			depth--
		case ',':
			if items[depth]++; lists[depth] && items[depth] >= MaxItems {
				return false
			}
		case 'n': // outside strings only null has one
			return false
		}
	}
	return depth == 0
}

// emptyBefore reports whether the last thing before a closing bracket is the opening one.
func emptyBefore(data []byte) bool {
	for i := len(data) - 1; i >= 0; i-- {
		switch data[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return data[i] == '['
		}
	}
	return false
}
