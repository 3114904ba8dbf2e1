// Package broker is the middle of a network: NATS JetStream, embedded or external, with the streams, the directory
// bucket and one consumer per agency and stream. It stores and forwards envelopes that it cannot read: it may not
// import an age implementation, and the test of imports keeps it so.
//
// The broker acknowledges a message only when it is on disk (sync always), refuses it when a pair's quota is full, and
// makes consumers only for agencies in a directory that the network root signed.
package broker
