// Package thread says what became of a referral, from the messages that two agencies exchanged about it. It is one pure
// function, Fold: from the same events, in whatever order and however often they arrive, every agency gets the same thread.
// A message that arrives late changes the result at both ends in the same way.
//
// A referral is three machines, and none is ever inferred from another:
//
//   - the work: what requester and responder told each other, by answers and updates;
//   - the delivery: what receipts prove about the transport of the message;
//   - the hold: what was said about the certificate that it went under.
//
// A withdrawal therefore makes no step of the work impossible, and is no step of it: a referral whose consent is withdrawn
// can be cancelled, declined or completed, and is never done because of it. Request.State shows one word for all three.
//
// # The work
//
// The requester asks and may cancel; everything else is said by the responder, who may cancel too. The table says what
// each word does: "to" it moves there, "=" it is the same again, and otherwise nothing happens and the event gets the flag
// out-of-order or, where the work has ended, after-the-end. What the requester may not say gets not-theirs-to-set.
//
//	from \ word         accepted  declined  waitl.    info.     redir.    progress  on-hold   compl.    failed    cancelled
//	requested           to        to        to        to        to        order     order     order     order     to
//	information-needed  to        to        to        =         to        order     order     order     order     to
//	waitlisted          to        to        =         to        to        order     order     order     order     to
//	accepted            =         order     order     order     order     to        to        to        to        to
//	in-progress         order     order     order     order     order     =         to        to        to        to
//	on-hold             order     order     order     order     order     to        =         to        to        to
//	declined            end       =         end       end       end       end       end       end       end       end
//	redirected          end       end       end       end       =         end       end       end       end       end
//	completed           end       end       end       end       end       end       end       =         end       end
//	failed              end       end       end       end       end       end       end       end       =         end
//	cancelled           end       end       end       end       end       end       end       end       end       =
//
// The first five words are outcomes of referral-response.v1, the last five states of a referral update. Both are spelled
// as the states here: an Event's Status is the outcome of an answer or the state of an update, as it is.
//
// # The delivery
//
//	from \ receipt  delivered  quarantined  rejected
//	sent            to         to           to
//	quarantined     to         =            to
//	delivered       =          end          end
//	rejected        end        end          =
//
// # The hold
//
// It belongs to a certificate and counts for every referral that went under it, earlier and later ones. What was said is
// taken by its time; at one moment, what stops more counts. Who may say it is judged where the signed statement is opened,
// not here. Only "stands" lifts a stop, and nothing lifts a withdrawal: a new consent is a new certificate.
//
//	from \ event  withdrawal-request  consent-withdrawal  consent stands  renewed or narrowed
//	(none)        stopped             withdrawn           (none)          (none)
//	stopped       stopped             withdrawn           (none)          stopped
//	withdrawn     withdrawn           withdrawn           end             withdrawn
//
// Every other kind, known or not, is history only.
//
// # What two agencies see
//
// Work, delivery, steps and flags of a referral depend only on messages between its two agencies, so both see the same as
// soon as both hold the same messages between them, whatever else either holds. The hold depends on what each was told: a
// withdrawal goes to every holder, and until it has arrived the two may differ.
package thread
