// Package audit reads the ledger for people: what happened, in order (Replay), how one thread went (Thread), and how the
// network does (Gather). It sees manifests only, never a body.
//
// Only what its sender signed counts, judged by the directory as it stood when it was recorded. A replay shows the rest too
// and marks it; whether the record is whole, [ledger.Verify] says. Times are the broker's, the one clock that all agencies
// share, unless a field is named otherwise: "sent" and "respond_by" are the sender's.
//
// # Speed
//
// go test ./broker/audit -run '^$' -bench Replay -benchtime 3x
//
// BenchmarkReplay replays 100,000 records and verifies every signature, on all cores; the Thread variant asks for one
// thread, and verifies that thread's only. BenchmarkGather (-bench Gather) makes a report.
package audit
