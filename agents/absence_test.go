package agents_test

import (
	"flag"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"waypost/broker/brokertest"
	"waypost/schemas/ledger"
)

var absence = flag.Int("absence", 600, "how many messages wait for the agency of TestLongAbsence; 5000 takes some minutes")

type absenceCounts struct {
	Version uint64     `json:"directory_version"`
	Expires *time.Time `json:"directory_expires"`
	Counts  struct {
		Pending     int `json:"outbox_pending"`
		Uncollected int `json:"uncollected"`
		Unrouted    int `json:"unrouted"`
		Open        int `json:"open"`
		Overdue     int `json:"overdue"`
		Quarantined int `json:"quarantined"`
	} `json:"counts"`
}

func (m *member) counts(t testing.TB) (st absenceCounts) {
	t.Helper()
	if code, _ := m.call(t, "GET", "/v1/status", nil, &st); code != http.StatusOK {
		return absenceCounts{}
	}
	return st
}

// inboxOrder are the lanes of everything accepted, in the order in which it was, and how many of it are overdue.
func (m *member) inboxOrder(t testing.TB) (lanes []string, overdue int) {
	t.Helper()
	before := int64(0)
	for {
		var page struct {
			Items []struct {
				N       int64  `json:"n"`
				Lane    string `json:"lane"`
				Overdue bool   `json:"overdue"`
			} `json:"items"`
		}
		path := "/v1/inbox?limit=500"
		if before > 0 {
			path += "&before=" + strconv.FormatInt(before, 10)
		}
		m.call(t, "GET", path, nil, &page)
		for _, it := range page.Items {
			lanes, before = append([]string{it.Lane}, lanes...), it.N
			if it.Overdue {
				overdue++
			}
		}
		if len(page.Items) < 500 {
			return lanes, overdue
		}
	}
}

// TestLongAbsence: an agency is away for a week. Its directory expires meanwhile; many referrals wait for it, the urgent ones
// sent last. The sender is told "not yet collected", and, when the time to answer is over, "overdue"; never "failed". When the
// agency is back it first gets a directory that holds, then everything: urgent before the bulk of what is routine, all of it
// overdue and said to be so, and nothing expired or was set aside.
func TestLongAbsence(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	// It is valid for four hours more.
	if err := b.Authority.SignHead(time.Now().Add(-30*24*time.Hour + 4*time.Hour)); err != nil {
		t.Fatal(err)
	}
	p, n := enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", "")
	agreeAll(t, b, police, ngo)
	if err := b.Authority.SignHead(time.Now().Add(-30*24*time.Hour + 4*time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	p.start(t)
	n.start(t)
	for _, m := range []*member{p, n} {
		eventually(t, m.id+" has the directory that expires soon", func() bool { return m.counts(t).Version == b.Authority.View().Head().Version })
	}
	n.halt(t)
	urgent := max(*absence/10, 1)
	var last accepted
	for i := range *absence {
		last = p.mustSubmit(t, ngo, func(doc map[string]any) {
			if r, ok := doc["referral"].(map[string]any); ok && i < *absence-urgent {
				r["urgency"] = "routine"
				delete(r, "urgency_reason")
			}
		})
	}
	eventually(t, "all of it is at the broker", func() bool { c := p.counts(t).Counts; return c.Pending == 0 && c.Uncollected == *absence })
	// Meanwhile administrators do what they do every month.
	if err := b.Authority.SignHead(time.Now()); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	p.halt(t)
	for _, m := range []*member{p, n} {
		m.clock.move(7 * 24 * time.Hour)
	}
	p.start(t)
	eventually(t, "the sender knows that answers are overdue", func() bool { return p.out(t, last.ID).Overdue })
	if it := p.out(t, last.ID); it.State != "published" || it.Hold != "" {
		t.Errorf("a week uncollected: the sender is told %q %q, want published, which is not yet collected", it.State, it.Hold)
	}
	n.start(t)
	// As long as it gets less, it goes on: thousands take their time on a busy machine.
	for left := *absence + 1; left > 0; {
		eventually(t, "more is delivered", func() bool {
			c := p.counts(t).Counts
			now := c.Uncollected + n.counts(t).Counts.Unrouted
			less := now < left
			left = min(left, now)
			return less
		})
	}
	if it := p.out(t, last.ID); it.State != "delivered" || !it.Overdue {
		t.Errorf("after the week: %+v", it)
	}
	eventually(t, "the recipient says what is overdue", func() bool { return n.counts(t).Counts.Overdue == *absence })
	st := n.counts(t)
	if st.Counts.Open != *absence || st.Counts.Quarantined != 0 || st.Expires == nil || st.Expires.Before(n.clock.now()) {
		t.Errorf("the recipient after its absence: %+v", st)
	}
	var lanes []string
	eventually(t, "each message says that it is overdue", func() bool { // the status goes by the clock, a message by its event
		var overdue int
		lanes, overdue = n.inboxOrder(t)
		return len(lanes) == *absence && overdue == *absence
	})
	ahead, left := 0, urgent // routine messages accepted before the last urgent one
	for _, l := range lanes {
		if left == 0 {
			break
		}
		if l == "urgent" {
			left--
		} else {
			ahead++
		}
	}
	if routine := *absence - urgent; ahead > routine/2 {
		t.Errorf("the last urgent message came after %d of %d routine ones", ahead, routine)
	}
	for _, m := range []*member{p, n} {
		if strings.Contains(m.log.String(), "not let through") {
			t.Errorf("%s set something aside", m.id)
		}
	}
	sum, found := verified(t, b, int64(2**absence))
	broken(t, found)
	if sum.Kinds[ledger.KindExpired] > 0 {
		t.Errorf("%d expired", sum.Kinds[ledger.KindExpired])
	}
}
