// Package agents is one agency's agent: the loop that joins vault, store, link, intake, route and the local API, and its
// life from `agent init` over `agent join` to `agent run`.
//
// Out: Submit decides whether a message may go (consent, agreement), seals and signs it and answers only once it is on disk;
// package link publishes it. In: package intake decides; dispatch hands over to the agency's own systems and, when every
// required one has taken a message, queues the receipt. Response clocks run here for both directions.
package agents
