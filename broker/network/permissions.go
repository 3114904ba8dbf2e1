package network

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"

	"waypost/schemas/envelope"
)

// Streams of package broker; repeated here because broker imports nothing of the authority but its bundle.
var mailStreams = []string{"MAIL_URGENT", "MAIL_ROUTINE", "MAIL_RECEIPT"}

// Streams of the ledger, which package notary keeps.
const (
	ledgerStream     = "LEDGER"
	checkpointStream = "CHECKPOINTS"
	ledgerGet        = "$JS.API.DIRECT.GET." + ledgerStream
	checkpointGet    = "$JS.API.DIRECT.GET." + checkpointStream
)

const (
	directoryStream = "KV_DIRECTORY"
	positionsStream = "POSITIONS"
	directoryPrefix = "$KV.DIRECTORY."
	directoryGet    = "$JS.API.DIRECT.GET." + directoryStream + "." + directoryPrefix + ">"
)

// MaxPayload is the largest NATS message: the largest envelope, and room for headers.
const MaxPayload = envelope.MaxEnvelope + 64<<10

// responseThreshold is how long the broker keeps the way back to an agency open without traffic: longer than any pull
// request waits (30 seconds by default; heartbeats count as traffic), short enough that ended ones do not pile up.
const responseThreshold = 2 * time.Minute

// ackV2 is the prefix of acknowledgement subjects in the second shape, which a later server may use:
// $JS.ACK.<domain>.<hash of the account>.<stream>.<consumer>. It must not be written `$JS.ACK.*.*.<stream>.<id>.>`: read
// in the first shape that names ANY stream and ANY consumer, and a body of "+NXT" then fetches another agency's
// messages (tried; it worked). So the two tokens are literal.
func ackV2(account string) string {
	// The server's own hash (events.go, getHash): eight characters of base 62 from SHA-256.
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(account))
	out := make([]byte, 8)
	for i := range out {
		out[i] = digits[int(sum[i])%len(digits)]
	}
	return "$JS.ACK._." + string(out) + "."
}

// apiPrefix is what an agency account maps $JS.API to on the way to the network account, where it asks about its consumers.
// The server answers that in every account itself, here with "JetStream not enabled", and would be first. A server maps
// before it looks at permissions, so this is also the prefix that they name.
const apiPrefix = "$JS.network.API."

// What an agency asks about its consumers: how they are, and to give mail to the agent that now works, although another agent
// of the agency had it until a moment ago.
const (
	infoPrefix  = apiPrefix + "CONSUMER.INFO."
	unpinPrefix = apiPrefix + "CONSUMER.UNPIN."
)

// agencySubjects are the request subjects of one agency; name is its id, or the template that stands for it.
func agencySubjects(networkAccount, name string) []string {
	s := []string{"mail.*.*." + name, "log.*." + name, directoryGet}
	for _, stream := range mailStreams {
		s = append(s,
			"$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name,
			infoPrefix+stream+"."+name,
			unpinPrefix+stream+"."+name,
			"$JS.ACK."+stream+"."+name+".>",
			ackV2(networkAccount)+stream+"."+name+".>",
		)
	}
	return s
}

func agencyScope(networkAccount, signingKey string) *jwt.UserScope {
	s := jwt.NewUserScope()
	s.Key, s.Role = signingKey, "agency"
	s.Description = "one agency's agent: send as itself, collect its own mail, read the directory"
	s.Template.Pub.Allow = agencySubjects(networkAccount, "{{name()}}")
	s.Template.Sub.Allow = []string{"_INBOX_{{name()}}.>", directoryPrefix + ">"}
	s.Template.Subs = 256
	s.Template.Payload = MaxPayload
	s.Template.AllowedConnectionTypes = []string{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket}
	return s
}

func allow(pub, sub []string) jwt.Permissions {
	return jwt.Permissions{Pub: jwt.Permission{Allow: slices.Clip(pub)}, Sub: jwt.Permission{Allow: slices.Clip(sub)}}
}

// brokerPermissions: the broker makes streams and consumers, watches the directory, and keeps the ledger: it appends records
// and checkpoints, answers agencies' requests for proofs, deletes single messages of the mail streams when their time is
// over, remembers how far agencies have come, and stores a message of its own to see whether any can be stored. It may copy the streams for a backup. It may not publish mail nor write the directory, so that its credentials forge nothing; it has the disk anyway. It
// may neither delete, empty, change nor replace the ledger's streams once they are made.
func brokerPermissions() jwt.Permissions {
	pub := []string{"$JS.API.INFO", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
		"$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.>", "$JS.API.DIRECT.GET.>", "$JS.ACK." + directoryStream + ".>", "$JS.FC.>",
		"ledger.>", "checkpoint.>", "positions.*", "probe", "$JS.API.STREAM.SNAPSHOT.*", "$JS.SNAPSHOT.ACK.>"}
	for _, s := range mailStreams {
		pub = append(pub, "$JS.API.STREAM.MSG.DELETE."+s)
	}
	p := allow(pub, []string{"_INBOX_broker.>", "log.>", "$SRV.>"})
	p.Pub.Deny = []string{"$JS.API.STREAM.UPDATE." + ledgerStream, "$JS.API.STREAM.UPDATE." + checkpointStream}
	p.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: time.Minute}
	return p
}

// restorerPermissions: make the broker's streams from a backup, and delete empty ones for it. These are the rights that the
// broker's own credentials must not have, because whoever has them can put another ledger in place of the one that is there;
// so they are the administrators', who sign that it was restored.
func restorerPermissions() jwt.Permissions {
	pub := []string{"$JS.API.STREAM.INFO.*", "$JS.API.DIRECT.GET." + ledgerStream, ledgerGet + ".>", "$JS.SNAPSHOT.RESTORE.>"}
	for _, s := range append([]string{ledgerStream, checkpointStream, directoryStream, positionsStream}, mailStreams...) {
		pub = append(pub, "$JS.API.STREAM.RESTORE."+s, "$JS.API.STREAM.DELETE."+s)
	}
	return allow(pub, []string{"_INBOX_restorer.>"})
}

// auditorPermissions: read the ledger, its checkpoints and the directory, nothing else. No consumer, which could be told to
// deliver to any subject.
func auditorPermissions() jwt.Permissions {
	return allow(auditorSubjects, []string{"_INBOX_auditor.>"})
}

var auditorSubjects = []string{ledgerGet, checkpointGet, directoryGet}

// adminPermissions: publish the directory, and have an administrator's act recorded.
func adminPermissions() jwt.Permissions {
	return allow(
		[]string{directoryPrefix + ">", directoryGet, "$JS.API.STREAM.INFO." + directoryStream, "log.act.administrator"},
		[]string{"_INBOX_administrator.>"})
}

// systemPermissions: push account claims and see which are there, nothing else of the system account. Claims hold public
// keys and limits, no secret.
func systemPermissions() jwt.Permissions {
	return allow([]string{"$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"}, []string{"_INBOX_publisher.>"})
}

// monitorPermissions: ask servers how they are and who is connected, nothing else of the system account.
func monitorPermissions() jwt.Permissions {
	return allow([]string{"$SYS.REQ.SERVER.PING.JSZ", "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.SERVER.PING.CONNZ"}, []string{"_INBOX_monitor.>"})
}
