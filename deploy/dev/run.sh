#!/usr/bin/env bash
# `make run`: the services start while cargo builds; then migrate, and all roles in one process with the demo.
# ONCE=1 stops everything after the demo.
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

# A machine that gives tools no network of their own (no /dev/net/tun, no packet filter) may still try Picket out: its
# scans reach whatever this machine reaches.
declare_egress() {
  local proof
  if ! proof=$("$TARGET/picket" --settings deploy/dev/picket.toml prove 2>&1); then
    echo "warning: tools share this machine's network, do not let strangers use this: $proof" >&2
    export PICKET_WORKER__SANDBOX_EXTERNAL_EGRESS=enforced
  fi
}

serve() {
  local arguments=()
  if [ "${ONCE:-}" = 1 ]; then arguments+=(--once); fi
  "$TARGET/picket" --settings deploy/dev/picket.toml migrate
  declare_egress
  exec "$TARGET/picket" --settings deploy/dev/picket.toml up --demo "${arguments[@]}"
}

case "${1:-}" in
  "") PICKET_INSTANCE=run exec "$HERE/stack.sh" run --beside 'exec deploy/dev/run.sh build' "$HERE/run.sh" serve ;;
  build) build ;;
  serve) serve ;;
  *) echo "usage: run.sh" >&2; exit 2 ;;
esac
