// Package bench is `waypost bench`: a load test of a whole network on one machine, and of what it costs at the least.
//
// # What runs
//
// A network authority, one embedded broker that syncs before it acknowledges, and agents with their real stores and folder
// sinks, all in one process and on loopback, with the settings that an administrator gets who sets nothing; only the quota of a
// pair is raised so that a whole run may lie at the broker. Messages are the examples of deploy/examples, each with its consent,
// submitted to POST /v1/referrals of the senders' agents; agencies send in a ring. Members beyond --active are enrolled, have
// account, consumers and connection, and wait for mail: they cost the broker what they would, without an agent here.
//
// # What is counted
//
// Throughput is the number of messages that went all the way - row in the recipient's inbox, file in its sink, signed receipt in
// the sender's store - divided by the time from the first submission to the last receipt. All of them are looked up afterwards;
// one that is missing anywhere fails the run.
//
// Latency counts from when a message was to be submitted. With --rate that is a fixed schedule, kept whether or not a caller is
// free, so that a stall is seen by every message that it held up and not only by the one that hit it (no coordinated
// omission). Without a rate it is when a caller was free, and says how deep the queues were more than how fast the path is.
// The stages, and where their times come from without a line in the product:
//
//   - accepted: the caller has read the 202;
//   - stored: the timestamp that JetStream gave the message;
//   - inbox: an acknowledgement that the recipient's agent sent, which it does when the row is committed, heard by a subscription
//     of the operator's; or the time in the store at which the sink had it, if that is earlier;
//   - sink: the time in the recipient's store at which its sink said that the file is on disk (whole milliseconds, cut off; half
//     of one is added); the file is looked for too;
//   - receipt: the sender's agent acknowledged the receipt, which it does when that is committed.
//
// Idle is the same, one message after the other. It is held against a unit of steps that no path can do without: one fsynced
// publish, the cryptography of a message, two commits, each the median of single runs.
//
// Urgent messages are submitted at a steady 25 a second, once with nothing else going on, and once while an agency that was
// away works through routine messages that lie at the broker; only those count that were submitted while some still waited.
//
// # The floor
//
// See package floor. It is measured before and after, in the same process, on at most four pairs, with half of the messages each
// time, and the two are added: machines that others use change within minutes. The network does not run meanwhile.
// floor_per_s is cryptography and JetStream; floor_with_stores_per_s also commits twice and writes the file. Both are done by
// the same cores as Waypost, with broker, sender and recipient on one machine: the ratio is what Waypost adds to them.
//
// Memory is the resident size of the whole process. What one broker and one agent take is measured with --memory, each in a
// process of its own.
package bench
