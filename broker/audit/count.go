package audit

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Few is the number from which on a published report says how many: below, it says FewText.
const Few = 5

// FewText stands for a count of 1 to 4.
const FewText = "fewer than 5"

// Count is how many. In a published form it may say less: that there are few, or between which bounds a total lies.
type Count struct {
	least, most int64
	few         bool
}

// CountOf is an exact count.
func CountOf(n int64) Count { return Count{least: n, most: n} }

// Exact returns the number, false for a count that is hidden or a range.
func (c Count) Exact() (int64, bool) { return c.least, c.least == c.most && !c.few }

// published hides a small count. What it returns says nothing of the count but that it is small.
func (c Count) published() Count {
	if c.least > 0 && c.least < Few {
		return Count{least: 1, most: Few - 1, few: true}
	}
	return c
}

// plus adds what is known of both: of a sum in which something is hidden, the bounds are known.
func (c Count) plus(d Count) Count { return Count{least: c.least + d.least, most: c.most + d.most} }

// String is how people read it.
func (c Count) String() string {
	switch {
	case c.few:
		return FewText
	case c.least != c.most:
		return strconv.FormatInt(c.least, 10) + " to " + strconv.FormatInt(c.most, 10)
	}
	return strconv.FormatInt(c.least, 10)
}

// MarshalJSONTo writes a number; "fewer than 5"; or {"at_least": …, "at_most": …}.
func (c Count) MarshalJSONTo(e *jsontext.Encoder) error {
	switch {
	case c.few:
		return e.WriteToken(jsontext.String(FewText))
	case c.least == c.most:
		return e.WriteToken(jsontext.Int(c.least))
	}
	return e.WriteValue(jsontext.Value(`{"at_least":` + strconv.FormatInt(c.least, 10) + `,"at_most":` + strconv.FormatInt(c.most, 10) + `}`))
}
