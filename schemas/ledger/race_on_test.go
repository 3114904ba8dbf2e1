//go:build race

package ledger

// raceEnabled lets the long tests try a part of what they try without the race detector, which makes them ten times as long.
const raceEnabled = true
