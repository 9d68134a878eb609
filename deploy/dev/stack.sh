#!/usr/bin/env bash
# The development stack: Postgres, Redis, RabbitMQ, the scanner tools and what the tests need besides, from
# Debian packages in a private folder, without root and without touching anything of this machine.
# Settings are listed in lib/base.sh.
set -euo pipefail

usage() {
  cat >&2 <<'TEXT'
usage: stack.sh COMMAND
  check                      may a sandbox be made here? (0, or 78 with the command that enables it)
  fetch                      download and unpack what is missing
  up                         start the services of the instance PICKET_INSTANCE (dev) and write its env file
  down                       stop everything that was started from this checkout
  env                        print the env file written last (or that of PICKET_INSTANCE)
  state                      print the state folder
  run [--beside CMD] CMD…    check, fetch, up, run CMD, down; --beside runs a shell command (a build)
                             meanwhile, which must succeed before CMD starts
  broker start|stop|kill DIR a further private broker that belongs to DIR; start prints its AMQP URL
  broker pause|resume DIR    stop all its processes without a word, and let them go on
  broker ctl DIR WORD…       rabbitmqctl
  broker users DIR           the users of the roles: a role and a URL in each line
  broker cluster|end DIR     three nodes that belong to DIR/1, DIR/2 and DIR/3; cluster prints their URLs
  postgres|redis start|stop|kill DIR
                             the same for a further Postgres or Redis
  clean                      down, and remove the state folder
TEXT
  exit 2
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
CHECKOUT=$(cd "$HERE/../.." && pwd -P)
for part in "$HERE"/lib/*.sh "$CHECKOUT"/deploy/tools/*.sh; do
  # shellcheck disable=SC1090 # our own parts
  . "$part"
done

up() {
  lock_instance "${PICKET_INSTANCE:-dev}"
  if [ ! -e "$INSTANCE/up" ]; then empty_instance "$INSTANCE"; fi
  as_runner touch "$INSTANCE/up"
  start_instance "$INSTANCE"
}

clean() {
  stop_everything
  [ ! -d "$STATE" ] || rm -rf "$STATE"
}

broker() {
  case "${1:-}" in
    start | stop | kill | pause | resume | users | cluster | end) [ -n "${2:-}" ] || usage; "broker_$1" "$2" ;;
    ctl) [ -n "${3:-}" ] || usage; shift; broker_ctl "$@" ;;
    *) usage ;;
  esac
}

further() {
  case "${2:-}" in
    start | stop | kill) [ -n "${3:-}" ] || usage; "further_$2" "$1" "$3" ;;
    *) usage ;;
  esac
}

main() {
  local command=${1:-}; [ -n "$command" ] || usage
  shift
  choose_runner
  choose_services
  case "$command" in
    state) printf '%s\n' "$STATE"; return ;;
    check) check_programs; check_sandbox; return ;;
    env) cat "$STATE${PICKET_INSTANCE:+/instance/$PICKET_INSTANCE}/env"; return ;;
    down) [ ! -d "$STATE" ] || stop_everything; return ;;
    clean) [ ! -d "$STATE" ] || clean; return ;;
  esac
  check_programs
  case "$command" in
    fetch) check_sandbox; make_state; as_runner fetch_all ;;
    up) check_sandbox; make_state; as_runner fetch_all; up ;;
    run)
      hear_interrupts "$@"
      local beside=
      if [ "${1:-}" = --beside ]; then beside=${2:-}; shift 2; fi
      [ $# -gt 0 ] || usage
      check_sandbox
      make_state
      run_session "$beside" "$@"
      ;;
    broker) make_state; broker "$@" ;;
    postgres | redis) make_state; further "$command" "$@" ;;
    *) usage ;;
  esac
}

main "$@"
