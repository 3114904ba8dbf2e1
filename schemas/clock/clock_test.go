package clock

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas"
)

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, CalendarNamed(EnglandAndWales).Zone())
	if err != nil {
		panic(err)
	}
	return t
}

func TestDue(t *testing.T) {
	for _, c := range []struct{ name, region, start, want string }{
		// Good Friday and Easter Monday 2026 are 3 and 6 April; Scotland works on Easter Monday.
		{ReasonableGrounds, "GB-EAW", "2026-04-01 10:00", "2026-04-11 00:00"},
		{ReasonableGrounds, "GB-SCT", "2026-04-01 10:00", "2026-04-10 00:00"},
		{WithdrawalAnswer, "GB-EAW", "2026-04-02 23:59", "2026-04-08 00:00"},
		{WithdrawalAnswer, "GB-EAW", "2026-11-20 17:00", "2026-11-24 00:00"}, // Friday to the end of Monday
		{WithdrawalAnswer, "GB-SCT", "2026-06-12 09:00", "2026-06-17 00:00"}, // 15 June 2026 by proclamation
		{WithdrawalAnswer, "GB-NIR", "2026-07-10 09:00", "2026-07-15 00:00"}, // 13 July for the 12th
		{WithdrawalAnswer, "FR-75", "2026-04-02 10:00", "2026-04-04 00:00"},  // no holidays known there; in UTC
		{RecoveryPeriod, "GB-EAW", "2022-12-12 12:00", "2023-01-26 00:00"},
		{RecoveryPeriod, "GB-EAW", "2022-12-13 12:00", "2023-01-12 00:00"},
		{Reconsideration, "GB-EAW", "2026-01-31 08:00", "2026-03-03 00:00"},
		{DataSubjectRequest, "GB-EAW", "2028-01-31 08:00", "2028-03-01 00:00"}, // to the end of 29 February
		{ConsentReview, "GB-EAW", "2026-11-30 08:00", "2027-03-01 00:00"},
		{DataBreach, "GB-EAW", "2026-03-28 12:00", "2026-03-31 13:00"}, // 72 hours over the change to summer time
		{SupportEntitlementEnd, "GB-EAW", "2026-05-31 00:00", "2026-06-01 00:00"},
		{VictimUpdateVulnerable, "GB-EAW", "2026-12-24 15:00", "2026-12-30 00:00"}, // 28 December for the 26th
	} {
		start := at(c.start)
		k, ok := Named(c.name, start)
		if !ok {
			t.Fatalf("no clock %s", c.name)
		}
		got := k.Due(start, CalendarOf(c.region))
		want := at(c.want)
		if c.region == "FR-75" {
			want, _ = time.Parse("2006-01-02 15:04", c.want)
		}
		if !got.At.Equal(want) {
			t.Errorf("%s in %s from %s: %s, want %s", c.name, c.region, c.start, got.At, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	for _, c := range All() {
		if c.Source == "" || c.Starts == "" {
			t.Errorf("%s has no source or no start", c.Name)
		}
		if (c.Unit == Elapsed) != (c.Within > 0) || (c.Length > 0) != slices.Contains([]Unit{Days, DaysWith, WorkingDays, Months}, c.Unit) {
			t.Errorf("%s: length does not fit the unit", c.Name)
		}
	}
	// A name has one clock on any day.
	for day := at("2019-01-01 12:00"); day.Year() < 2030; day = day.AddDate(0, 0, 1) {
		seen := map[string]int{}
		for _, c := range table {
			if d := day.Format(time.DateOnly); (c.From == "" || d >= c.From) && (c.Until == "" || d <= c.Until) {
				seen[c.Name]++
			}
		}
		for name, n := range seen {
			if n != 1 {
				t.Fatalf("%s has %d clocks on %s", name, n, day)
			}
		}
	}
	for _, u := range schemas.Urgencies() {
		c, ok := Named("response-"+string(u), time.Now())
		if !ok || c.Within != u.RespondWithin() {
			t.Errorf("response clock of %s: %v", u, c.Within)
		}
	}
}

// easter is an independent way to the movable holidays (Anonymous Gregorian algorithm, Meeus 1991).
func easter(y int) time.Time {
	a, b, c := y%19, y/100, y%100
	d, e := b/4, b%4
	g := (8*b + 13) / 25
	h := (19*a + b - d - g + 15) % 30
	j, k := c/4, c%4
	m := (a + 11*h) / 319
	r := (2*e + 2*j - k - h + m + 32) % 7
	n := (h - m + r + 90) / 25
	return time.Date(y, time.Month(n), (h-m+r+n+19)%32, 12, 0, 0, 0, CalendarNamed(EnglandAndWales).Zone())
}

func TestHolidays(t *testing.T) {
	counts := map[string]map[int]int{}
	for name, c := range calendars() {
		counts[name] = map[int]int{}
		for d := range c.holidays {
			day, err := time.Parse(time.DateOnly, d)
			if err != nil {
				t.Fatal(err)
			}
			if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
				t.Errorf("%s: %s is on a weekend", name, d)
			}
			counts[name][day.Year()]++
		}
		for y := 2019; y <= 2027; y++ {
			if working, _ := c.Working(easter(y).AddDate(0, 0, -2)); working {
				t.Errorf("%s works on Good Friday %d", name, y)
			}
			if working, _ := c.Working(easter(y).AddDate(0, 0, 1)); working != (name == Scotland) {
				t.Errorf("%s on Easter Monday %d: %v", name, y, working)
			}
			want := map[string]int{EnglandAndWales: 8, Scotland: 9, NorthernIreland: 10}[name]
			switch {
			case y == 2022:
				want += 2 // jubilee, state funeral
			case y == 2023, y == 2026 && name == Scotland:
				want++ // coronation; football
			}
			if counts[name][y] != want {
				t.Errorf("%s has %d holidays in %d, want %d", name, counts[name][y], y, want)
			}
		}
	}
	if _, certain := CalendarNamed(Scotland).Working(at("2028-06-01 12:00")); certain {
		t.Error("certain about a year that is not in the list")
	}
	k, _ := Named(ReasonableGrounds, at("2027-12-30 12:00"))
	if !k.Due(at("2027-12-30 12:00"), CalendarNamed(Scotland)).Uncertain {
		t.Error("certain over the end of the list")
	}
}

func TestCalendarOf(t *testing.T) {
	for region, want := range map[string]string{"GB-ENG": EnglandAndWales, "GB-WLS": EnglandAndWales, "GB-NBL": EnglandAndWales, "GB": EnglandAndWales,
		"GB-SCT": Scotland, "GB-GLG": Scotland, "GB-NIR": NorthernIreland, "GB-BFS": NorthernIreland, "FR-75": "", "": ""} {
		if got := CalendarOf(region).Name; got != want {
			t.Errorf("%s: %q", region, got)
		}
	}
}

func TestProperties(t *testing.T) {
	cals := []Calendar{{}, CalendarNamed(EnglandAndWales), CalendarNamed(Scotland), CalendarNamed(NorthernIreland)}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(All()).Draw(t, "clock")
		cal := rapid.SampledFrom(cals).Draw(t, "calendar")
		start := at("2019-01-01 00:00").Add(time.Duration(rapid.IntRange(0, 9*365*24*60).Draw(t, "minutes")) * time.Minute)
		later := start.Add(time.Duration(rapid.IntRange(0, 90*24*60).Draw(t, "later")) * time.Minute)
		d, e := c.Due(start, cal), c.Due(later, cal)
		if e.At.Before(d.At) {
			t.Fatal("a later start has an earlier deadline")
		}
		if !d.At.After(start) {
			t.Fatal("out before it began")
		}
		if c.Unit == WorkingDays {
			if working, _ := cal.Working(d.At.Add(-time.Minute)); !working {
				t.Fatal("the last day is no working day")
			}
			if bare := c.Due(start, Calendar{zone: cal.zone}); d.At.Before(bare.At) {
				t.Fatal("holidays made it earlier")
			}
		}
		if c.Unit != Elapsed {
			if h, m, s := d.At.In(cal.Zone()).Clock(); h+m+s != 0 {
				t.Fatal("a deadline in days is not at the end of a day")
			}
		}
		if !slices.IsSortedFunc(d.Warn, time.Time.Compare) {
			t.Fatal("warnings out of order")
		}
		for _, w := range d.Warn {
			if !w.Before(d.At) {
				t.Fatal("a warning that comes too late")
			}
		}
	})
}

// TestPayloadsNameClocks: every date that a payload brings has a clock, or nobody would be warned of it.
func TestPayloadsNameClocks(t *testing.T) {
	n := 0
	for _, p := range []schemas.Deadliner{&schemas.NRMDecision{}, &schemas.SupportEntitlement{}, &schemas.JusticeUpdate{Hearing: &schemas.Hearing{}}} {
		for name := range p.Deadlines() {
			n++
			if _, ok := Named(name, time.Now()); !ok {
				t.Errorf("%s: no clock %s", p.Kind(), name)
			}
		}
	}
	for _, p := range []schemas.ClockStarter{&schemas.Referral{NRM: &schemas.NRM{Referred: "2026-03-01"}}, &schemas.JusticeUpdate{}, &schemas.JusticeUpdate{Enhanced: true}} {
		for name := range p.Clocks() {
			n++
			if _, ok := Named(name, time.Now()); !ok {
				t.Errorf("%s: no clock %s", p.Kind(), name)
			}
		}
	}
	if n < 9 {
		t.Errorf("only %d dates", n)
	}
}
