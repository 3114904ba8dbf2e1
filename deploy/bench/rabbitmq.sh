#!/usr/bin/env bash
# RabbitMQ with age, for comparison: durable queues, persistent messages, publisher confirms, sealed and signed messages of the
# same size as Waypost's, a file synced before each acknowledgement and a signed receipt back. The client is the Go program
# beside this script. Installs Debian's rabbitmq-server if it is missing; runs its own node in a temporary folder and on free
# ports, and ends it. Prints one JSON object.
#   MESSAGES=1000 IDLE=100 SIZE=4096 deploy/bench/rabbitmq.sh
set -euo pipefail
cd "$(dirname "$0")"
MESSAGES=${MESSAGES:-1000} IDLE=${IDLE:-100} SIZE=${SIZE:-4096}

if [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
  # RUNLEVEL=1: the package must not start a node of its own.
  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rabbitmq-server; } >&2
fi

dir=$(mktemp -d)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) epmd=$(free_port) dist=$(free_port)
export HOME=$dir RABBITMQ_NODENAME=waypost-bench@localhost RABBITMQ_NODE_PORT=$port RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
  RABBITMQ_DIST_PORT=$dist ERL_EPMD_PORT=$epmd ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$dir/log \
  RABBITMQ_ENABLED_PLUGINS_FILE=$dir/plugins RABBITMQ_PID_FILE=$dir/pid RABBITMQ_CONF_ENV_FILE=$dir/env.conf RABBITMQ_CONFIG_FILE=$dir/none
# Go's own folders stay where they are: only the node lives in the temporary one.
go_env=(env HOME="$(getent passwd "$(id -u)" | cut -d: -f6)")
: >"$dir/env.conf"
echo '[].' >"$dir/plugins"
mkdir "$dir/received"
node=
stop() {
  if [ -n "$node" ]; then kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; fi
  epmd -kill >/dev/null 2>&1 || true # on the port above: no other node's
  rm -rf "$dir"
}
trap stop EXIT

"${go_env[@]}" GOTOOLCHAIN=local go build -C rabbitmq -o "$dir/client" .
setsid /usr/lib/rabbitmq/bin/rabbitmq-server >"$dir/node.log" 2>&1 &
node=$!
for _ in $(seq 300); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then up=1; break; fi
  kill -0 "$node" 2>/dev/null || { echo "rabbitmq: the node ended at once" >&2; tail -5 "$dir/node.log" >&2; exit 1; }
  sleep 0.2
done
[ -n "${up:-}" ] || { echo "rabbitmq: the node does not listen" >&2; exit 1; }
"$dir/client" -url "amqp://guest:guest@127.0.0.1:$port/" -messages "$MESSAGES" -idle "$IDLE" -size "$SIZE" -dir "$dir/received"
received=$(find "$dir/received" -type f ! -name '*.part' | wc -l)
[ "$received" -eq $((MESSAGES + IDLE)) ] || { echo "rabbitmq: $received files, not $((MESSAGES + IDLE))" >&2; exit 1; }
