package bench

import (
	"runtime"

	"waypost/cmd/waypost/bench/floor"
)

// ResultType is the "type" of a result in JSON. A changed meaning is a new one.
const ResultType = "waypost.bench.v1"

// Result is what a run measured. Times are milliseconds, sizes bytes, rates messages a second. What could not be measured,
// because the run was ended early, is zero or left out, and Complete is false.
type Result struct {
	Type     string  `json:"type"`
	Complete bool    `json:"complete"`
	Machine  Machine `json:"machine"`
	Asked    Asked   `json:"asked"`

	Sent      int     `json:"sent"`      // accepted by the senders' agents under load
	Delivered int     `json:"delivered"` // of these, with a row in the inbox, a file in the sink and a receipt back
	Seconds   float64 `json:"seconds"`   // from the first submission to the last receipt back

	MessagesPerSecond float64 `json:"messages_per_s"`
	FloorPerSecond    float64 `json:"floor_per_s"`
	Ratio             float64 `json:"ratio"` // messages_per_s / floor_per_s
	FloorWithStores   float64 `json:"floor_with_stores_per_s"`
	RatioWithStores   float64 `json:"ratio_with_stores"`

	P50       float64 `json:"p50_ms"` // under load, to the receipt back
	P99       float64 `json:"p99_ms"`
	UrgentP99 float64 `json:"urgent_p99_ms"` // beside the backlog; without one, alone

	Stages   []Stage   `json:"stages"` // under load
	Idle     *Idle     `json:"idle,omitzero"`
	Urgent   *Urgent   `json:"urgent,omitzero"`
	Floor    *Floor    `json:"floor,omitzero"`
	Envelope Envelope  `json:"envelope"`
	Memory   Memory    `json:"memory"`
	Parts    []Process `json:"processes,omitempty"` // --memory: each in a process of its own
}

// Machine is where it ran.
type Machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
}

func thisMachine() Machine {
	return Machine{runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, runtime.Version()}
}

// Asked is what was asked for.
type Asked struct {
	Agencies int     `json:"agencies"`
	Active   int     `json:"active"`
	Messages int     `json:"messages"`
	Size     int     `json:"size"` // of a submission
	Rate     float64 `json:"rate"` // 0: as fast as it goes
	Workers  int     `json:"workers"`
	Backlog  int     `json:"urgent_backlog"`
	Apart    bool    `json:"apart"` // broker, agents and those who wait ran as processes of their own
}

// Idle is one message after the other with nothing else going on. Unit is what no path can do without: one fsynced publish, the
// cryptography of a message, and two commits, each measured alone in the same run.
type Idle struct {
	P50     float64 `json:"p50_ms"` // to the receipt back
	P99     float64 `json:"p99_ms"`
	Unit    float64 `json:"unit_ms"`
	Ratio   float64 `json:"ratio"`       // p50 to the receipt back / unit
	ToSink  float64 `json:"ratio_sink"`  // p50 to the file in the sink / unit
	ToInbox float64 `json:"ratio_inbox"` // p50 to the recipient's store / unit
	Stages  []Stage `json:"stages"`
}

// Urgent is urgent messages at a steady rate, alone and while an agency that was away works through its backlog.
type Urgent struct {
	IdleP50    float64 `json:"idle_p50_ms"`
	IdleP99    float64 `json:"idle_p99_ms"`
	Backlog    int     `json:"backlog"` // routine messages that waited when its agent came back
	Beside     int     `json:"beside"`  // urgent messages submitted while some of them still waited; only they count
	BacklogP50 float64 `json:"backlog_p50_ms,omitzero"`
	BacklogP99 float64 `json:"backlog_p99_ms,omitzero"`
	Ratio      float64 `json:"ratio,omitzero"`              // backlog_p99_ms / idle_p99_ms
	PerSecond  float64 `json:"backlog_per_s,omitzero"`      // how fast the backlog was worked off
	Stages     []Stage `json:"stages,omitempty"`            // beside the backlog
	RestartMS  float64 `json:"recipient_start_ms,omitzero"` // its agent, from start to connected, with the backlog waiting
}

// Floor is what the same bytes and the same cryptography cost without Waypost; see package floor.
type Floor struct {
	CryptoPerSecond    float64     `json:"crypto_per_s"`    // the cryptography alone, on all cores, from its units
	JetStreamPerSecond float64     `json:"jetstream_per_s"` // the bytes alone, there and back
	Publish            float64     `json:"publish_ms"`      // one, fsynced
	Commit             float64     `json:"commit_ms"`       // one row
	Crypto             float64     `json:"crypto_ms"`       // the sum of the next four
	Seal               float64     `json:"seal_ms"`
	Open               float64     `json:"open_ms"`
	Reopen             float64     `json:"reopen_ms"`
	Receipt            float64     `json:"receipt_ms"`
	Sizes              floor.Sizes `json:"sizes"`
}

// Envelope is what really travelled.
type Envelope struct {
	Bytes int64 `json:"bytes"`
	Note  int64 `json:"note_bytes"`
}

// Memory is the resident size of the whole process: broker, agents, and the bench itself.
type Memory struct {
	Idle int64 `json:"idle_bytes,omitzero"`
	Load int64 `json:"load_bytes,omitzero"` // the most that was seen
}

// Process is one part of Waypost in a process of its own.
type Process struct {
	Part string `json:"part"` // broker, sender, recipient
	Idle int64  `json:"idle_bytes"`
	Load int64  `json:"load_bytes"`
}
