// Package faults holds the fault suite: a broker of three nodes and four agents, each a process of its own, with a TCP proxy
// on every connection between them. A scheduler that one seed decides kills (SIGKILL), stops (SIGSTOP), cuts, delays, mutes
// and resets connections, lets writes to disk fail and moves clocks, while referrals, answers and withdrawals flow. After
// each round everything is mended, and a checker reads all histories: whatever was answered with 202 is in the recipient's
// folder once, what a withdrawal stopped before it had appeared there never appears, the order within a thread holds, receipts
// match, and the ledger verifies. After the rounds one node loses its whole folder and gets it back from the others, and then an
// agency comes back to a pile of routine and a few urgent referrals.
//
// Faults are of both kinds. "Failed": a refused connection, a write that the kernel refuses. "Failed but stored": a muted
// connection carries what is asked and drops the answer, and a process is killed after it was told and before it answers.
//
//	go test ./cmd/waypost/faults -faults 3            # three rounds, a minute or two
//	go test ./cmd/waypost/faults -faults 200 -seed 7 -timeout 3h
//
// A failure prints the seed and the history of what is wrong: the faults of the round, and the events of that thread alone.
package faults
