# shellcheck shell=bash
# What every part of the stack stands on: messages, the state folder, and the unprivileged uid.
# Never writes outside the state folder.
#
# Settings (all optional):
#   PICKET_STATE_DIR   where everything lives   (.run in the checkout; as root /var/tmp/picket-<hash>)
#   PICKET_RUN_UID     as root: the uid that fetches and serves (199999: owned by no account, and the
#                      neighbor of the worker's slot uids, which begin at 200000)
#   PICKET_INSTANCE    name of the instance (`run` and `dev` keep their data, all others start empty)
#   PICKET_TOOLS       scanner tools to fetch, see deploy/tools/table.sh
#   PICKET_NONFREE     1 also reads Debian's non-free part, where nikto is
#   DATABASE_URL, AMQP_URL, REDIS_URL   services of yours: neither fetched nor started here

STARTED_AT=$SECONDS

say() { printf 'stack %4ds  %s\n' "$((SECONDS - STARTED_AT))" "$*" >&2; }
warn() { say "warning: $*"; }
die() { say "error: $*"; exit "${DIE_CODE:-1}"; }

# The hash that tells checkouts apart: in the state folder's name as root, and in broker node names.
checkout_hash() { printf '%s' "$CHECKOUT" | sha256sum | cut -c1-10; }

choose_runner() {
  AS=()
  RUN_UID=$(id -u)
  if [ "$RUN_UID" = 0 ]; then
    RUN_UID=${PICKET_RUN_UID:-199999}
    [[ $RUN_UID =~ ^[1-9][0-9]*$ ]] || die "PICKET_RUN_UID must be a uid other than 0, got '$RUN_UID'"
    AS=(setpriv --reuid "$RUN_UID" --regid "$RUN_UID" --clear-groups --inh-caps=-all --no-new-privs)
    "${AS[@]}" true || die "cannot become uid $RUN_UID: set PICKET_RUN_UID to one that exists in this user namespace"
    STATE=${PICKET_STATE_DIR:-/var/tmp/picket-$(checkout_hash)}
  else
    STATE=${PICKET_STATE_DIR:-$CHECKOUT/.run}
  fi
  [[ $STATE = /* ]] || STATE=$PWD/$STATE
}

# Makes the state folder. A folder of somebody else's at this place is refused: /var/tmp is everybody's.
make_state() {
  umask 022
  if [ ! -d "$STATE" ]; then
    mkdir -p "$(dirname "$STATE")"
    mkdir -m 755 "$STATE"
    [ "$(id -u)" != 0 ] || chown "$RUN_UID:$RUN_UID" "$STATE"
  fi
  [ ! -L "$STATE" ] || die "the state folder $STATE is a symbolic link: remove it or set PICKET_STATE_DIR"
  [ "$(stat -c %u "$STATE")" = "$RUN_UID" ] ||
    die "the state folder $STATE belongs to uid $(stat -c %u "$STATE"), expected $RUN_UID: remove it or set PICKET_STATE_DIR"
  "${AS[@]}" test -x "$STATE" -a -w "$STATE" ||
    die "uid $RUN_UID cannot reach the state folder $STATE: set PICKET_STATE_DIR to a place it can"
  bring_python_pins
}

# Runs a function of ours as the unprivileged uid. The functions travel as text, because that uid may be
# unable to read the checkout (below /root, for one).
as_runner() {
  if [ "${#AS[@]}" = 0 ]; then (cd "$STATE" && "$@"); return; fi
  local program
  # shellcheck disable=SC2086 # a list of names
  program="set -euo pipefail; umask 022; $(declare -p $RUNNER_VARIABLES); AS=(); SECONDS=$SECONDS; $(declare -f); \"\$@\""
  (cd "$STATE" && "${AS[@]}" env HOME="$STATE" PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin bash -c "$program" stack "$@")
}
RUNNER_VARIABLES="STARTED_AT STATE RUN_UID CHECKOUT WANT_POSTGRES WANT_RABBITMQ WANT_REDIS DIE_WITH_PARENT MAINTENANCE_ONLY LANGUAGES \
  SERVICE_BASE FONT_PACKAGES RECEIVER_LIBRARIES RECEIVER_PROOF OIDC_FILES NODE_PACKAGE DEFAULT_TOOLS TOOL_TABLE PROOF_SERVER BROKER_ROLES"

# Which services are ours to bring.
# shellcheck disable=SC2034 # read by fetch.sh and instance.sh
choose_services() {
  WANT_POSTGRES=yes WANT_RABBITMQ=yes WANT_REDIS=yes
  [ -z "${DATABASE_URL:-}" ] || WANT_POSTGRES=
  [ -z "${AMQP_URL:-}" ] || WANT_RABBITMQ=
  [ -z "${REDIS_URL:-}" ] || WANT_REDIS=
}

# random_hex BYTES
random_hex() { od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# sh-quoted, for the env file.
quote() { printf "'%s'" "${1//\'/\'\\\'\'}"; }
