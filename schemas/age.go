package schemas

import "time"

// adultAge is the age from which a person is an adult (United Nations Convention on the Rights of the Child,
// article 1).
const adultAge = 18

// MayBeChild reports whether the person must be treated as a child at the given time: known to be under 18,
// or of an age that is disputed or not known (Modern Slavery Act 2015 s.51 presumes so). Any sign of being a child
// wins over signs of being an adult.
func (p *Person) MayBeChild(now time.Time) bool {
	if p.knownChild() {
		return true
	}
	age, ok := p.DateOfBirth.yearsAt(now)
	return ok && age < adultAge
}

// knownChild is MayBeChild without the date of birth, which needs a clock.
func (p *Person) knownChild() bool {
	switch {
	case p.AgeDisputed, p.Age != nil && *p.Age < adultAge, p.AgeRange == AgeRangeChild, p.AgeRange == AgeRangeUnknown:
		return true
	}
	return p.Age == nil && p.AgeRange == "" && p.DateOfBirth == ""
}

// years returns the ages that a range spans, and false when it says nothing.
func (a AgeRange) years() (low, high int, ok bool) {
	switch a {
	case AgeRangeChild:
		return 0, 17, true
	case AgeRange1824:
		return 18, 24, true
	case AgeRange2534:
		return 25, 34, true
	case AgeRange3544:
		return 35, 44, true
	case AgeRange4554:
		return 45, 54, true
	case AgeRange5564:
		return 55, 64, true
	case AgeRange65AndOver:
		return 65, 120, true
	case AgeRangeAdult:
		return adultAge, 120, true
	}
	return 0, 0, false
}

// yearsAt returns the completed years from the date to the time, and false when it is no date.
func (d Date) yearsAt(now time.Time) (int, bool) {
	born, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return 0, false
	}
	now = now.UTC()
	years := now.Year() - born.Year()
	if now.Month() < born.Month() || now.Month() == born.Month() && now.Day() < born.Day() {
		years--
	}
	return years, true
}

// before reports whether a is earlier than b, both YYYY, YYYY-MM or YYYY-MM-DD. They are compared as far as both
// are known.
func before(a, b string) bool {
	n := min(len(a), len(b))
	return a[:n] < b[:n]
}

// any reports whether a contact detail is given.
func (c *Contact) any() bool {
	return c != nil && len(c.Phones)+len(c.Emails)+len(c.Addresses)+len(c.Apps) > 0
}
