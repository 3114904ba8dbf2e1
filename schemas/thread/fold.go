package thread

import (
	"slices"

	"waypost/schemas"
)

// Fold builds the thread from its events. Their order and repeats make no difference, and it is total: whatever the events
// are, each is in the history, and each that could not do what it says has a flag. The events must be of one thread, and
// whoever calls has verified them: Fold asks who says something, not whether they did.
func Fold(events []Event) *Thread {
	history, reused := ordered(events)
	f := &folder{
		Thread:   &Thread{History: history, deliveries: make(map[place]Delivery, len(history))},
		requests: map[place]*Request{},
		messages: make(map[place]*Event, len(history)),
		known:    make(map[string]bool, len(history)),
		flags:    map[place]string{},
	}
	for i := range history {
		e := &history[i]
		f.messages[placeOf(e.ID, e)], f.known[e.ID] = e, true
		f.deliveries[placeOf(e.ID, e)] = Sent
	}
	f.consents()
	for i := range history {
		f.apply(&history[i])
	}
	for i := range history {
		e := &history[i]
		here := placeOf(e.ID, e)
		if code, ok := f.flags[here]; ok {
			f.Flags = append(f.Flags, Flag{e.ID, code})
		}
		if reused[here] {
			f.Flags = append(f.Flags, Flag{e.ID, FlagReused})
		}
	}
	for _, r := range f.Requests {
		r.Delivery = f.deliveries[place{r.ID, min(r.Requester, r.Responder), max(r.Requester, r.Responder)}]
		if c := f.Consent(r.Certificate); c != nil {
			r.Hold = c.Hold
		}
	}
	return f.Thread
}

type folder struct {
	*Thread
	requests map[place]*Request
	messages map[place]*Event
	known    map[string]bool // ids between any two agencies
	flags    map[place]string
}

// flag marks an event, for a referral too when it is about one.
func (f *folder) flag(e *Event, r *Request, code string) {
	if code == "" {
		return
	}
	f.flags[placeOf(e.ID, e)] = code
	if r != nil {
		r.Flags = append(r.Flags, Flag{e.ID, code})
	}
}

func (f *folder) apply(e *Event) {
	switch e.Kind {
	case schemas.KindReferral:
		if e.From == e.To {
			f.flag(e, nil, FlagStranger)
			return
		}
		r := &Request{ID: e.ID, Requester: e.From, Responder: e.To, Certificate: e.Certificate, Sent: e.Sent, Work: Requested,
			Steps: []Step{{e.ID, e.From, Requested, e.Sent}}}
		f.Requests = append(f.Requests, r)
		f.requests[placeOf(e.ID, e)] = r
	case schemas.KindReferralResponse, schemas.KindReferralUpdate:
		f.work(e)
	case schemas.KindReceipt:
		f.receipt(e)
	}
}

// about checks that the message that an event is about is here and between the same two agencies.
func (f *folder) about(e *Event) (of place, flag string) {
	of = placeOf(e.answers(), e)
	_, ok := f.messages[of]
	switch {
	case ok:
		return of, ""
	case f.known[of.id]:
		return of, FlagStranger
	}
	return of, FlagUnknownMessage
}

func (f *folder) work(e *Event) {
	of, flag := f.about(e)
	if flag != "" {
		f.flag(e, nil, flag)
		return
	}
	r := f.requests[of]
	switch {
	case r == nil:
		f.flag(e, nil, FlagNotReferral)
		return
	case !slices.Contains(statuses[e.Kind], State(e.Status)):
		f.flag(e, r, FlagUnknownStatus)
		return
	}
	state, flag := step(r.Work, State(e.Status), e.From == r.Requester)
	if flag != "" {
		f.flag(e, r, flag)
		return
	}
	r.Work = state
	r.Steps = append(r.Steps, Step{e.ID, e.From, state, e.Sent})
}

func (f *folder) receipt(e *Event) {
	of, flag := f.about(e)
	if m := f.messages[of]; flag == "" && (m.Kind == schemas.KindReceipt || m.To != e.From) {
		flag = FlagStranger // a receipt is given by whom the message went to, and not for receipts
	}
	if flag != "" {
		f.flag(e, nil, flag)
		return
	}
	f.deliveries[of], flag = deliver(f.deliveries[of], e.Receipt)
	f.flag(e, f.requests[of], flag)
}
