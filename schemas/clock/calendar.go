package clock

import (
	_ "embed"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // an agent's machine may have no time zones of its own

	"github.com/go-json-experiment/json"
)

//go:embed holidays.json
var holidaysFile []byte

// Calendar says which days are working days. The zero Calendar has no holidays but weekends, in UTC.
type Calendar struct {
	Name     string
	zone     *time.Location
	holidays map[string]bool // YYYY-MM-DD
	from, to string          // the days that the list covers
}

var calendars = sync.OnceValue(func() map[string]Calendar {
	var file struct {
		Source    string              `json:"source"`
		From      string              `json:"from"`
		Until     string              `json:"until"`
		Calendars map[string][]string `json:"calendars"`
	}
	if err := json.Unmarshal(holidaysFile, &file); err != nil {
		panic("clock: holidays.json: " + err.Error()) // a test reads it: it cannot happen in a program that was released
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic("clock: " + err.Error())
	}
	out := map[string]Calendar{}
	for name, days := range file.Calendars {
		c := Calendar{Name: name, zone: london, holidays: map[string]bool{}, from: file.From, to: file.Until}
		for _, d := range days {
			c.holidays[d] = true
		}
		out[name] = c
	}
	return out
})

// Names of the calendars.
const (
	EnglandAndWales = "england-and-wales"
	Scotland        = "scotland"
	NorthernIreland = "northern-ireland"
)

// CalendarNamed returns a calendar, the zero one for a name that is not known.
func CalendarNamed(name string) Calendar { return calendars()[name] }

// CalendarOf returns the calendar of an ISO 3166-2 region such as GB-SCT or one of its parts. Scottish and Northern Irish
// council areas are not told apart by their codes; name the part of the country, or a region not of the United Kingdom has
// the zero calendar, and one whose part is not known that of England and Wales.
func CalendarOf(region string) Calendar {
	country, part, _ := strings.Cut(region, "-")
	switch {
	case country != "GB":
		return Calendar{}
	case part == "SCT" || scottish[part]:
		return CalendarNamed(Scotland)
	case part == "NIR" || northernIrish[part]:
		return CalendarNamed(NorthernIreland)
	}
	return CalendarNamed(EnglandAndWales)
}

// Council areas and districts, ISO 3166-2:GB.
var (
	scottish = set("ABE ABD ANS AGB CLK DGY DND EAY EDU ELN ERW EDH ELS FAL FIF GLG HLD IVC MLN MRY NAY NLK ORK PKN RFW SCB ZET SAY SLK STG WDU WLN")
	// Districts since 2015.
	northernIrish = set("ANN AND ABC BFS CCG DRS FMO LBC MEA MUL NMD")
)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}

// Zone is where the calendar's days begin.
func (c Calendar) Zone() *time.Location {
	if c.zone == nil {
		return time.UTC
	}
	return c.zone
}

// Working reports whether the day of t is a working day, and whether that is certain: beyond the years that the list
// covers a holiday may be missed.
func (c Calendar) Working(t time.Time) (working, certain bool) {
	t = t.In(c.Zone())
	day := t.Format(time.DateOnly)
	certain = len(c.holidays) == 0 || day >= c.from && day <= c.to
	if w := t.Weekday(); w == time.Saturday || w == time.Sunday {
		return false, certain
	}
	return !c.holidays[day], certain
}

// endOf is the moment at which a day is over: the start of the next.
func (c Calendar) endOf(t time.Time) time.Time {
	t = t.In(c.Zone())
	return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, c.Zone())
}

// addDays keeps the time of day where daylight saving time begins or ends in between.
func (c Calendar) addDays(t time.Time, days int) time.Time {
	return t.In(c.Zone()).AddDate(0, 0, days)
}
