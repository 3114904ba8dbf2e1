-- Version 5. Nothing in this file may hold payload text: bodies arrive sealed, certificates and problem lists locked
-- under the vault's at-rest key. Times are Unix milliseconds, UTC.
--
-- A key that is "counted" is given out by the database, the largest one plus one: no row of such a table is ever deleted, or
-- a key could come twice. Rows that hold more than a few hundred bytes lie in the order in which they came, with their random
-- ids in an index: in the order of their ids (WITHOUT ROWID) each of them would have the whole of another page written.

CREATE TABLE outbox (
  n           INTEGER PRIMARY KEY, -- counted
  id          TEXT NOT NULL UNIQUE,
  thread      TEXT NOT NULL,
  reply_to    TEXT NOT NULL DEFAULT '',
  peer        TEXT NOT NULL,
  kind        TEXT NOT NULL,
  schema      TEXT NOT NULL,
  lane        TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  sent        INTEGER NOT NULL,
  respond_by  INTEGER,
  basis       TEXT NOT NULL DEFAULT '',
  outcome     TEXT NOT NULL DEFAULT '',
  code        TEXT NOT NULL DEFAULT '',
  note        BLOB NOT NULL,
  state       TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending','published')),
  hold        TEXT NOT NULL DEFAULT '',
  published   INTEGER,
  stream_seq  INTEGER,
  receipt     TEXT NOT NULL DEFAULT '',
  receipt_code TEXT NOT NULL DEFAULT '',
  receipt_at  INTEGER,
  answered    INTEGER,
  overdue     INTEGER,
  stopped     INTEGER, -- the consent it is under was withdrawn, or that was asked for: no clock runs, nothing leaves
  erased      INTEGER, -- body and key are gone
  recorded    INTEGER, -- its number in the ledger, proved
  tombstone   BLOB,    -- a signed void manifest that leaves in its place: it has arrived, the broker lost it, and it is not sent again
  UNIQUE (peer, lane, seq)
) STRICT;
CREATE INDEX outbox_unproved ON outbox (n) WHERE recorded IS NULL AND stream_seq IS NOT NULL;
CREATE INDEX outbox_pending ON outbox (lane, n) WHERE state = 'pending';
CREATE INDEX outbox_tombstones ON outbox (lane, n) WHERE tombstone IS NOT NULL AND stream_seq IS NULL;
CREATE INDEX outbox_held ON outbox (peer, lane, hold) WHERE state = 'pending' AND hold <> '';
CREATE INDEX outbox_uncollected ON outbox (lane, published) WHERE state = 'published' AND receipt = '' AND outcome = '';
CREATE INDEX outbox_waiting ON outbox (lane, respond_by) WHERE respond_by IS NOT NULL AND answered IS NULL AND stopped IS NULL;
CREATE INDEX outbox_thread ON outbox (thread, n);
CREATE INDEX outbox_basis ON outbox (basis, outcome, kind); -- all that counting by basis reads
CREATE INDEX outbox_back ON outbox (lane, peer, n) WHERE state = 'pending' AND outcome = '' AND stopped IS NOT NULL;
CREATE INDEX outbox_leftover ON outbox (n) WHERE state = 'pending' AND outcome = '' AND stopped IS NOT NULL;
CREATE INDEX outbox_clock ON outbox (respond_by) WHERE respond_by IS NOT NULL AND answered IS NULL AND overdue IS NULL AND stopped IS NULL;

-- Sealed bodies, with their file keys under the at-rest key, lie apart: a row that changes its state is written anew as a
-- whole, and would take six kilobytes along each time. No row: it never had one, was taken back, or is erased.
CREATE TABLE outbox_bodies (
  message INTEGER PRIMARY KEY, -- outbox.n
  body    BLOB NOT NULL,
  wrapped BLOB
) STRICT;

CREATE TABLE inbox (
  n           INTEGER PRIMARY KEY, -- counted
  id          TEXT NOT NULL UNIQUE,
  thread      TEXT NOT NULL,
  reply_to    TEXT NOT NULL DEFAULT '',
  peer        TEXT NOT NULL,
  kind        TEXT NOT NULL,
  schema      TEXT NOT NULL,
  lane        TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  sent        INTEGER NOT NULL,
  respond_by  INTEGER,
  basis       TEXT NOT NULL DEFAULT '',
  note        BLOB NOT NULL,
  received    INTEGER NOT NULL,
  stream_seq  INTEGER NOT NULL,
  routed      INTEGER,
  answered    INTEGER,
  overdue     INTEGER,
  stopped     INTEGER, -- the consent it is under was withdrawn, or that was asked for: no clock runs, no sink gets it
  refused     INTEGER, -- accepted, but withdrawn before it was routed: its receipt says so
  erased      INTEGER, -- body and key are gone
  recorded    INTEGER  -- its number in the ledger, proved
) STRICT;
CREATE INDEX inbox_unproved ON inbox (n) WHERE recorded IS NULL;
CREATE INDEX inbox_unrouted ON inbox (lane, received) WHERE routed IS NULL AND refused IS NULL AND stopped IS NULL;
CREATE INDEX inbox_waiting ON inbox (lane, respond_by) WHERE respond_by IS NOT NULL AND answered IS NULL AND stopped IS NULL;
CREATE INDEX inbox_thread ON inbox (thread, n);
CREATE INDEX inbox_basis ON inbox (basis);
CREATE INDEX inbox_availability ON inbox (peer, n) WHERE kind = 'availability';
CREATE INDEX inbox_leftover ON inbox (n) WHERE routed IS NULL AND refused IS NULL AND stopped IS NOT NULL;
CREATE INDEX inbox_clock ON inbox (respond_by) WHERE respond_by IS NOT NULL AND answered IS NULL AND overdue IS NULL AND stopped IS NULL;

CREATE TABLE inbox_bodies (
  message INTEGER PRIMARY KEY, -- inbox.n
  body    BLOB NOT NULL,
  wrapped BLOB
) STRICT;

-- Every message id ever decided, for ever: a replay is recognised even after the message itself was erased.
CREATE TABLE decided (
  id       TEXT PRIMARY KEY,
  peer     TEXT NOT NULL,
  outcome  TEXT NOT NULL,
  code     TEXT NOT NULL DEFAULT '',
  at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
  n          INTEGER PRIMARY KEY, -- counted
  digest     BLOB NOT NULL UNIQUE,
  id         TEXT NOT NULL DEFAULT '',
  thread     TEXT NOT NULL DEFAULT '',
  peer       TEXT NOT NULL,
  lane       TEXT NOT NULL,
  kind       TEXT NOT NULL DEFAULT '',
  code       TEXT NOT NULL,
  verified   INTEGER NOT NULL, -- boolean
  problems   BLOB,
  raw        BLOB NOT NULL,
  received   INTEGER NOT NULL,
  stream_seq INTEGER NOT NULL
) STRICT;
CREATE INDEX quarantine_code ON quarantine (code);

-- What came back about what we sent: the signed receipt itself is kept, it is evidence.
CREATE TABLE receipts (
  id       TEXT PRIMARY KEY,
  message  TEXT NOT NULL,
  peer     TEXT NOT NULL,
  outcome  TEXT NOT NULL,
  code     TEXT NOT NULL DEFAULT '',
  sent     INTEGER NOT NULL,
  received INTEGER NOT NULL,
  note     BLOB NOT NULL,
  stream_seq INTEGER NOT NULL,
  recorded INTEGER -- its number in the ledger, proved
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_message ON receipts (message);
CREATE INDEX receipts_unproved ON receipts (received) WHERE recorded IS NULL;

-- What this agency has seen of the ledger: one row. The checkpoint is the newest one that it found consistent with all
-- before it; it is on disk before it is cosigned.
CREATE TABLE ledger (
  n          INTEGER PRIMARY KEY CHECK (n = 1),
  checkpoint BLOB NOT NULL,
  asked      INTEGER NOT NULL DEFAULT 0 -- up to which record administrators' requests were read
) STRICT;

-- Checkpoints that were found consistent, thinner the older they are: what a ledger that went back is compared with.
CREATE TABLE checkpoints (
  size       INTEGER PRIMARY KEY,
  seen       INTEGER NOT NULL,
  checkpoint BLOB NOT NULL
) STRICT;

-- What a restore from a backup left to be made good, of this store or of the broker.
CREATE TABLE healings (
  id      TEXT PRIMARY KEY, -- store: of the act by which the ledger is told
  what    TEXT NOT NULL CHECK (what IN ('store','broker')),
  subject TEXT NOT NULL DEFAULT '', -- broker: our checkpoint that its ledger does not continue
  at      INTEGER NOT NULL, -- store: when the backup was made; broker: when it was noticed
  size    INTEGER NOT NULL, -- records below this are as we knew them
  next    INTEGER NOT NULL, -- the first record that was not looked at
  done    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX healings_open ON healings (what) WHERE done IS NULL;

-- Messages that a lost store gave its receipt for, as the ledger shows: when they come again, that receipt stands.
CREATE TABLE given (
  message TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- What this agency did that no message shows, signed, until the ledger holds it and after.
CREATE TABLE acts (
  id       TEXT PRIMARY KEY,
  act      TEXT NOT NULL,
  subject  TEXT NOT NULL, -- thread, message, or the request that is answered
  at       INTEGER NOT NULL,
  note     BLOB NOT NULL,
  recorded INTEGER,
  answer   BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX acts_open ON acts (at) WHERE recorded IS NULL;

-- What administrators asked for: to route again what was received since a time.
CREATE TABLE redeliveries (
  id       TEXT PRIMARY KEY,
  since    INTEGER NOT NULL,
  asked    INTEGER NOT NULL,
  note     BLOB NOT NULL,
  decided  INTEGER,
  outcome  TEXT NOT NULL DEFAULT '',
  count    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Last sequence number given to, and highest seen from, each (peer, lane).
CREATE TABLE sequences (
  direction TEXT NOT NULL CHECK (direction IN ('out','in')),
  peer      TEXT NOT NULL,
  lane      TEXT NOT NULL,
  last      INTEGER NOT NULL,
  PRIMARY KEY (direction, peer, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
  peer    TEXT NOT NULL,
  lane    TEXT NOT NULL,
  seq     INTEGER NOT NULL,
  noticed INTEGER NOT NULL,
  PRIMARY KEY (peer, lane, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  n       INTEGER PRIMARY KEY, -- counted
  id      TEXT NOT NULL UNIQUE,
  thread  TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '',
  kind    TEXT NOT NULL DEFAULT '',
  type    TEXT NOT NULL,
  peer    TEXT NOT NULL DEFAULT '',
  code    TEXT NOT NULL DEFAULT '',
  certificate TEXT NOT NULL DEFAULT '',
  at      INTEGER NOT NULL
) STRICT;
-- What every message brings is found by its message: the rows of one message, and those of the next, are neighbours there. By
-- the thread, which is random, each of them would have another page written. See History.
CREATE INDEX events_message ON events (message, n) WHERE type IN ('waypost.message.submitted','waypost.message.published','waypost.message.received','waypost.message.routed','waypost.receipt.received');
CREATE INDEX events_thread ON events (thread, n) WHERE type NOT IN ('waypost.message.submitted','waypost.message.published','waypost.message.received','waypost.message.routed','waypost.receipt.received');

CREATE TABLE deliveries (
  n        INTEGER PRIMARY KEY, -- counted
  source   TEXT NOT NULL CHECK (source IN ('inbox','event')),
  ref      TEXT NOT NULL,
  sink     TEXT NOT NULL,
  urgent   INTEGER NOT NULL, -- boolean
  required INTEGER NOT NULL, -- boolean
  state    TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending','done','dead','stopped')),
  attempts INTEGER NOT NULL DEFAULT 0,
  due      INTEGER NOT NULL,
  code     TEXT NOT NULL DEFAULT '',
  finished INTEGER,
  UNIQUE (source, ref, sink)
) STRICT;
CREATE INDEX deliveries_dead ON deliveries (sink, required) WHERE state = 'dead';
CREATE INDEX deliveries_given_up ON deliveries (n) WHERE state = 'dead';
CREATE INDEX deliveries_due ON deliveries (sink, urgent, n, due) WHERE state = 'pending';

CREATE TABLE certificates (
  id         TEXT PRIMARY KEY,
  issuer     TEXT NOT NULL,
  issued     INTEGER NOT NULL,
  supersedes TEXT NOT NULL DEFAULT '',
  expires    INTEGER NOT NULL,
  review     INTEGER NOT NULL,
  received   INTEGER NOT NULL,
  withdrawn  INTEGER,
  reviewed   INTEGER, -- a person was told that review or end is near
  locked     BLOB NOT NULL
) STRICT;
CREATE INDEX certificates_received ON certificates (received DESC, id);
CREATE INDEX certificates_supersedes ON certificates (supersedes) WHERE supersedes <> '';

-- What agencies said about certificates, also about ones not seen yet: lanes overtake one another. The signed text is kept,
-- it is evidence and travels on.
CREATE TABLE statements (
  id          TEXT PRIMARY KEY,
  certificate TEXT NOT NULL,
  issuer      TEXT NOT NULL,
  by_agency   TEXT NOT NULL,
  act         TEXT NOT NULL,
  at          INTEGER NOT NULL,
  to_agency   TEXT NOT NULL DEFAULT '',
  answers     TEXT NOT NULL DEFAULT '',
  received    INTEGER NOT NULL,
  text        TEXT NOT NULL
) STRICT;
CREATE INDEX statements_certificate ON statements (certificate);

-- Who was ever sent anything under a certificate: via '' is our own sending, else the agency that told us it passed it on.
CREATE TABLE holders (
  certificate TEXT NOT NULL,
  agency      TEXT NOT NULL,
  via         TEXT NOT NULL DEFAULT '',
  message     TEXT NOT NULL,
  thread      TEXT NOT NULL,
  kind        TEXT NOT NULL,
  at          INTEGER NOT NULL,
  PRIMARY KEY (certificate, agency, via)
) STRICT, WITHOUT ROWID;

-- Who was told of a statement, and what they answered. A due time means that the answer comes to us.
CREATE TABLE notices (
  statement   TEXT NOT NULL,
  certificate TEXT NOT NULL,
  agency      TEXT NOT NULL,
  message     TEXT NOT NULL,
  told        INTEGER NOT NULL,
  due         INTEGER,
  reminders   INTEGER NOT NULL DEFAULT 0,
  reminded    INTEGER,
  outcome     TEXT NOT NULL DEFAULT '',
  basis       TEXT NOT NULL DEFAULT '',
  reason      TEXT NOT NULL DEFAULT '',
  until       TEXT NOT NULL DEFAULT '',
  answered    INTEGER,
  PRIMARY KEY (statement, agency)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_certificate ON notices (certificate);
CREATE INDEX notices_open ON notices (due) WHERE due IS NOT NULL AND answered IS NULL;

-- Withdrawals and requests that our own people must decide on.
CREATE TABLE duties (
  statement   TEXT PRIMARY KEY,
  certificate TEXT NOT NULL,
  issuer      TEXT NOT NULL,
  by_agency   TEXT NOT NULL,
  act         TEXT NOT NULL,
  message     TEXT NOT NULL,
  thread      TEXT NOT NULL,
  received    INTEGER NOT NULL,
  due         INTEGER NOT NULL,
  overdue     INTEGER,
  outcome     TEXT NOT NULL DEFAULT '',
  basis       TEXT NOT NULL DEFAULT '',
  reason      TEXT NOT NULL DEFAULT '',
  until       TEXT NOT NULL DEFAULT '',
  decided     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX duties_certificate ON duties (certificate);
CREATE INDEX duties_open ON duties (due) WHERE decided IS NULL;

CREATE TABLE message_certificates (
  message     TEXT NOT NULL,
  certificate TEXT NOT NULL,
  PRIMARY KEY (message, certificate)
) STRICT, WITHOUT ROWID;

-- Keyed hashes of what the caller sent, never the thing itself.
CREATE TABLE idempotency (
  key     BLOB PRIMARY KEY,
  request BLOB NOT NULL,
  message TEXT NOT NULL,
  at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
  name    TEXT PRIMARY KEY,
  hash    BLOB NOT NULL UNIQUE,
  scopes  TEXT NOT NULL,
  created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE directory (
  key   TEXT PRIMARY KEY,
  note  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Durable timers. What a timer is about is locked: a date of a hearing is somebody's data. In the open stands only when to
-- look at it next.
CREATE TABLE timers (
  ref    TEXT NOT NULL, -- message or certificate id
  n      INTEGER NOT NULL,
  thread TEXT NOT NULL DEFAULT '',
  next   INTEGER NOT NULL,
  locked BLOB NOT NULL,
  PRIMARY KEY (ref, n)
) STRICT;
CREATE INDEX timers_next ON timers (next);

-- Written and taken away again to learn whether anything can be written.
CREATE TABLE probe (
  n    INTEGER PRIMARY KEY,
  at   INTEGER NOT NULL,
  room BLOB NOT NULL
) STRICT;
