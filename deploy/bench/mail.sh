#!/usr/bin/env bash
# The way agencies do it today, for comparison: OpenPGP mail (GnuPG, encrypted and signed) through Postfix on loopback into a
# Maildir, decrypted and verified on arrival and written to a synced file. Postfix syncs its queue before it says 250, and the
# Maildir before it forgets. No receipt comes back: mail has none that is signed. Installs Debian's packages if they are
# missing; runs its own Postfix in a temporary folder with throwaway keys, and ends it. Needs root, as Postfix does.
# Prints one JSON object.
#   MESSAGES=200 IDLE=20 deploy/bench/mail.sh
set -euo pipefail
cd "$(dirname "$0")"
MESSAGES=${MESSAGES:-200} IDLE=${IDLE:-20} SIZE=${SIZE:-4096}

[ "$(id -u)" -eq 0 ] || { echo "mail: Postfix needs root" >&2; exit 1; }
if ! command -v postfix >/dev/null || ! command -v gpg >/dev/null; then
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  # RUNLEVEL=1: the package must not start a Postfix of its own.
  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postfix gnupg; } >&2
fi

dir=$(mktemp -d /tmp/wpmail.XXXXXX) # short: gpg-agent's socket path must be
chmod 755 "$dir"
export GNUPGHOME=$dir/gnupg
started=
stop() {
  if [ -n "$started" ]; then postfix -c "$dir/etc" stop >/dev/null 2>&1 || true; fi
  gpgconf --kill all >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap stop EXIT
mkdir -m 700 "$GNUPGHOME"
mkdir "$dir/etc" "$dir/queue" "$dir/received"
mkdir -m 700 "$dir/mail" "$dir/state"
chown postfix "$dir/mail" "$dir/state"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
uid=$(id -u postfix) gid=$(id -g postfix)
cat >"$dir/etc/main.cf" <<EOF
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/state
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.invalid
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = bench.invalid
virtual_mailbox_base = $dir/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:$uid
virtual_gid_maps = static:$gid
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_mynetworks, reject
maillog_file = $dir/state/log
maillog_file_prefixes = $dir
EOF
cat >"$dir/etc/master.cf" <<EOF
127.0.0.1:$port inet n - n - 50 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
EOF
postfix -c "$dir/etc" start >/dev/null 2>"$dir/start.log" || { cat "$dir/start.log" >&2; exit 1; }
started=1
for who in sender recipient; do
  gpg --batch --quiet --passphrase '' --quick-gen-key "$who@bench.invalid" future-default default never 2>/dev/null
done
python3 mail.py --port "$port" --box "$dir/mail/box" --out "$dir/received" --messages "$MESSAGES" --idle "$IDLE" --size "$SIZE"
