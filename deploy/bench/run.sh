#!/usr/bin/env bash
# Waypost beside what agencies have today, in one run on one machine: `waypost bench`, then OpenPGP mail through Postfix
# (mail.sh), then RabbitMQ with age (rabbitmq.sh). Prints messages a second, milliseconds a message, and both as ratios to
# Waypost's. Only the ratios mean anything on another machine. Extra arguments go to `waypost bench`.
#   MESSAGES=2000 deploy/bench/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
MESSAGES=${MESSAGES:-2000} MAILS=${MAILS:-200}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
GOTOOLCHAIN=local go build -o "$dir/waypost" ./cmd/waypost
"$dir/waypost" bench --messages "$MESSAGES" --urgent 0 --urgent-backlog 0 --json "$@" >"$dir/waypost.json"
# The padded body that Waypost seals: what the others carry too.
size=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["floor"]["sizes"]["plain"])' "$dir/waypost.json")
SIZE=$size MESSAGES=$MAILS deploy/bench/mail.sh >"$dir/mail.json"
SIZE=$size MESSAGES=$MESSAGES deploy/bench/rabbitmq.sh >"$dir/rabbitmq.json"
python3 - "$dir" <<'EOF'
import json, os, sys

def load(name):
    with open(os.path.join(sys.argv[1], name + ".json")) as f:
        return json.load(f)

w = load("waypost")
ours = {"peer": "waypost", "messages_per_s": w["messages_per_s"], "ms_per_message": 1000 / w["messages_per_s"], "idle_p50_ms": w["idle"]["p50_ms"]}
rows = [ours, load("mail"), load("rabbitmq"),
        {"peer": "floor", "messages_per_s": w["floor_per_s"], "ms_per_message": 1000 / w["floor_per_s"]},
        {"peer": "floor with stores", "messages_per_s": w["floor_with_stores_per_s"], "ms_per_message": 1000 / w["floor_with_stores_per_s"]}]
print(f"{'':20}{'messages/s':>12}{'ms/message':>12}{'unloaded ms':>13}{'rate/Waypost':>14}{'unloaded/Waypost':>18}")
for r in rows:
    idle, times = "-", "-"
    if r.get("idle_p50_ms"):
        idle, times = f"{r['idle_p50_ms']:.1f}", f"{r['idle_p50_ms'] / ours['idle_p50_ms']:.2f}"
    print(f"{r['peer']:20}{r['messages_per_s']:12.1f}{r['ms_per_message']:12.2f}{idle:>13}{r['messages_per_s'] / ours['messages_per_s']:14.2f}{times:>18}")
EOF
