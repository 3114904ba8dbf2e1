package audit

// patience is for how many later ones an answer waits for its question. Streams are recorded side by side, so one may stand
// a little before the other; what waits longer is an answer to nothing, or a second one.
const patience = 4096

// early holds receipts and answers whose message was not met yet.
type early struct {
	waiting map[about][]*Event
	queue   []about
}

func (e *early) keep(k about, ev *Event) {
	if len(e.queue) == patience {
		e.take(e.queue[0])
		copy(e.queue, e.queue[1:])
		e.queue = e.queue[:patience-1]
	}
	e.queue = append(e.queue, k)
	e.waiting[k] = append(e.waiting[k], ev)
}

func (e *early) take(k about) []*Event {
	list := e.waiting[k]
	delete(e.waiting, k)
	return list
}
