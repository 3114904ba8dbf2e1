package audit

import (
	"strconv"
	"time"
)

// length writes a duration for people: two units at most, cut and never rounded up, so that nothing looks later than it is.
func length(d time.Duration) string {
	if d < 0 {
		return "-" + length(-d)
	}
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	two := func(a int, x string, b int, y string) string {
		s := strconv.Itoa(a) + x
		if b > 0 {
			s += " " + strconv.Itoa(b) + y
		}
		return s
	}
	switch {
	case days > 0:
		return two(days, "d", hours, "h")
	case hours > 0:
		return two(hours, "h", minutes, "min")
	case minutes > 0:
		return two(minutes, "min", 0, "")
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}
