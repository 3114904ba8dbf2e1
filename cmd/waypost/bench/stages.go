package bench

import "time"

// Stage is one step of a message's way. Its times count from when the message was to be submitted, so they grow from stage to
// stage.
type Stage struct {
	Stage string  `json:"stage"`
	Words string  `json:"words"`
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`

	times *Latencies
}

var stageWords = []struct {
	name, words string
	at          func(*journey) int64
}{
	{"accepted", "the caller has the sender's 202", func(j *journey) int64 { return j.accepted }},
	{"stored", "the broker has it on disk", func(j *journey) int64 { return j.stored }},
	{"inbox", "the recipient has it in its store", func(j *journey) int64 { return j.inbox }},
	{"sink", "the recipient's own system has the file", func(j *journey) int64 { return j.sunk }},
	{"receipt", "the sender has the signed receipt", func(j *journey) int64 { return j.receipt }},
}

// stagesOf counts only journeys that came to their end.
func stagesOf(journeys []*journey) []Stage {
	var out []Stage
	for _, s := range stageWords {
		l := &Latencies{}
		for _, j := range journeys {
			if at := s.at(j); at != 0 && j.whole() {
				l.Record(time.Duration(at - j.intended))
			}
		}
		out = append(out, Stage{Stage: s.name, Words: s.words, Count: l.Count(), P50: ms(l.Quantile(0.5)), P90: ms(l.Quantile(0.9)), P99: ms(l.Quantile(0.99)), Max: ms(l.Max()), times: l})
	}
	return out
}

// whole: every stage was seen.
func (j *journey) whole() bool {
	return j.accepted != 0 && j.stored != 0 && j.inbox != 0 && j.sunk != 0 && j.receipt != 0
}

func ms(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// stage finds one by name.
func stage(stages []Stage, name string) Stage {
	for _, s := range stages {
		if s.Stage == name {
			return s
		}
	}
	return Stage{}
}

// spanOf is the time from the first submission to the last receipt back, and how many came to their end.
func spanOf(journeys []*journey) (time.Duration, int) {
	var first, last int64
	n := 0
	for _, j := range journeys {
		if !j.whole() {
			continue
		}
		n++
		if first == 0 || j.intended < first {
			first = j.intended
		}
		last = max(last, j.receipt)
	}
	return time.Duration(last - first), n
}
