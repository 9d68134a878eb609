#!/usr/bin/env bash
# `make run`: the services start while cargo builds; then migrate, and all roles in one process with the demo.
# ONCE=1 stops everything after the demo. PICKET_LEVEL=L1|none keeps to a weaker sandbox than this machine gives.
set -euo pipefail

BINARIES="picket"

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cd "$HERE/../.."
TARGET=${CARGO_TARGET_DIR:-target}/debug

build() {
  local name arguments=()
  for name in $BINARIES; do arguments+=(--bin "$name"); done
  exec cargo build "${arguments[@]}"
}

picket() { "$TARGET/picket" --settings deploy/dev/picket.toml "$@"; }

# L0: the network helper beside us, where we are root. It has an interface, a table and a range of its own for each
# instance, none of them those of an installed helper, and takes them away when it is told to stop, also by our death.
HELPER='' FOLDER=''
start_helper() {
  local instance=${PICKET_STACK_INSTANCE##*/} number tries socket
  [ "$(id -u)" = 0 ] && [ -z "${PICKET_LEVEL:-}" ] || return 0
  number=${instance##*-}; [[ $number =~ ^[0-9]+$ ]] || number=1
  # Root's own folder, outside of the state: the helper takes no other, and whoever owns the state may not remove it.
  FOLDER=$(mktemp -d)
  chmod 755 "$FOLDER"
  socket=$FOLDER/netd.sock
  PICKET_NETD__SOCKET=$socket PICKET_NETD__NAME=pkdev$number \
    PICKET_NETD__RANGE=198.19.$((number % 8 * 32)).0/19 \
    setsid setpriv --pdeathsig TERM -- "$TARGET/picket" --settings deploy/dev/picket.toml netd >"$socket.log" 2>&1 &
  HELPER=$!
  for ((tries = 0; tries < 100; tries++)); do
    if [ -S "$socket" ]; then export PICKET_WORKER__NETD_SOCKET=$socket; return 0; fi
    kill -0 "$HELPER" 2>/dev/null || break
    sleep 0.1
  done
  echo "sandbox: no network helper here: $(tail -n 1 "$socket.log")" >&2
  stop_helper
}

stop_helper() {
  [ -n "$HELPER" ] || return 0
  kill -s TERM "$HELPER" 2>/dev/null || true
  wait "$HELPER" 2>/dev/null || true
  rm -rf "$FOLDER"
  HELPER='' FOLDER=''
}

# The strongest level that holds; none is set, all are proven. A machine that gives tools no network of their own (no
# /dev/net/tun, no packet filter) may still try Picket out: its scans reach whatever this machine reaches.
choose_level() {
  local proof
  case "${PICKET_LEVEL:-}" in
    "" | L1) ;;
    none) export PICKET_SLIRP=/nonexistent ;;
    *) echo "PICKET_LEVEL: expected L1 or none" >&2; return 2 ;;
  esac
  if ! proof=$(picket prove 2>&1); then
    echo "warning: tools share this machine's network, do not let strangers use this: $proof" >&2
    # Nobody has fenced this machine: what runs here is unsandboxed, and is published as such.
    export PICKET_WORKER__SANDBOX_LEVEL_MIN=none PICKET_WORKER__I_ACCEPT_UNSANDBOXED_SCANS=yes
    proof=$(picket prove 2>&1) || { echo "$proof" >&2; return 78; }
  fi
  proof=${proof##*$'\n'}
  echo "sandbox: $proof" >&2
  case $proof in
    *L0*"not available") ;;
    *L0*) export PICKET_WORKER__POOLS='[net,net.raw,tls,web]' ;;
  esac
}

# Each role as its own user of the broker, where the stack made them.
choose_users() {
  local role name
  for role in STEWARD WORKER DISPATCHER RENDERER; do
    name=PICKET_AMQP_URL_$role
    [ -z "${!name:-}" ] || export "PICKET_BROKER__ROLES__$role=${!name}"
  done
}

serve() {
  local arguments=() status=0
  if [ "${ONCE:-}" = 1 ]; then arguments+=(--once); fi
  # A signal reaches the platform as well, which ends by itself; the helper goes after it.
  trap : INT TERM HUP
  trap stop_helper EXIT
  picket migrate
  start_helper
  choose_level
  choose_users
  picket up --demo "${arguments[@]}" || status=$?
  exit "$status"
}

case "${1:-}" in
  "") PICKET_INSTANCE=run exec "$HERE/stack.sh" run --beside 'exec deploy/dev/run.sh build' "$HERE/run.sh" serve ;;
  build) build ;;
  serve) serve ;;
  *) echo "usage: run.sh" >&2; exit 2 ;;
esac
