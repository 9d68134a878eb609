# shellcheck shell=bash
# `stack.sh run`: one command with the services up, and nothing left on every way out.
# Commands run in a process group of their own, so that a signal reaches them exactly once: from here.
# Their stdin is empty. After a signal they get GRACE seconds, then they are killed.

GRACE=60
SIGNAL=
CURRENT=
BESIDE=

signalled() {
  SIGNAL=$1
  if [ -n "$CURRENT" ]; then
    kill -s "$1" -- "-$CURRENT" 2>/dev/null || true
    kill_group_after "$CURRENT" "$GRACE"
  else
    exit "$(status_of "$1")"
  fi
}
status_of() { case $1 in HUP) echo 129 ;; INT) echo 130 ;; *) echo 143 ;; esac; }

TIMERS=
kill_group_after() {
  set -m
  (sleep "$2"; kill -s KILL -- "-$1" 2>/dev/null) </dev/null >/dev/null 2>&1 9>&- &
  set +m
  TIMERS+=" $!"
  disown "$!"
}

# join PID: its exit status, however many signals interrupt the waiting.
join() {
  local status=0 last=0
  while :; do
    if wait "$1" 2>/dev/null; then last=0; else last=$?; fi
    [ "$last" = 127 ] || status=$last
    if [ "$last" -le 128 ] || ! kill -0 "$1" 2>/dev/null; then break; fi
  done
  if [ "$last" -gt 128 ]; then # was that ours, interrupted in the moment of its end?
    if wait "$1" 2>/dev/null; then last=0; else last=$?; fi
    [ "$last" = 127 ] || status=$last
  fi
  return "$status"
}

# attend COMMAND...: runs it and passes signals on; returns its status.
attend() {
  local status=0
  set -m
  "$@" </dev/null 9>&- &
  CURRENT=$!
  set +m
  join "$CURRENT" || status=$?
  kill -s KILL -- "-$CURRENT" 2>/dev/null || true
  CURRENT=
  return "$status"
}

# A step of ours: a signal during it ends the session.
step() {
  local status=0
  attend "$@" || status=$?
  [ -z "$SIGNAL" ] || exit "$(status_of "$SIGNAL")"
  [ "$status" = 0 ] || exit "$status"
}

end_beside() { if [ -n "$BESIDE" ]; then kill -s "$1" -- "-$BESIDE" 2>/dev/null || true; fi; }

begin_beside() {
  set -m
  setpriv --pdeathsig TERM -- bash -c "$1" </dev/null 9>&- &
  BESIDE=$!
  set +m
}

# join_beside [early]: early only looks whether it failed already
join_beside() {
  local status=0
  [ -n "$BESIDE" ] || return 0
  if [ "${1:-}" = early ] && kill -0 "$BESIDE" 2>/dev/null; then return 0; fi
  CURRENT=$BESIDE
  join "$BESIDE" || status=$?
  CURRENT=
  BESIDE=
  [ -z "$SIGNAL" ] || exit "$(status_of "$SIGNAL")"
  [ "$status" = 0 ] || { say "the build failed"; exit "$status"; }
}

end_session() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  set +e
  [ -z "$CURRENT" ] || kill -s KILL -- "-$CURRENT" 2>/dev/null
  end_beside TERM
  say "down: stopping instance ${INSTANCE##*/}"
  empty_instance "$INSTANCE"
  end_beside KILL
  local timer
  for timer in $TIMERS; do kill -s KILL -- "-$timer" 2>/dev/null; done
  rm -f "$INSTANCE/session" "$INSTANCE/env"
  say "down: done"
  exit "$status"
}

# A shell that is started in the background of another begins with SIGINT ignored, and could never hear it.
hear_interrupts() {
  local ignored
  ignored=$(sed -n 's/^SigIgn:\t//p' /proc/$$/status)
  (((16#$ignored & 2) == 0)) || exec env --default-signal=INT "$HERE/stack.sh" run "$@"
}

# run_session BESIDE COMMAND...
run_session() {
  local beside=$1 status=0; shift
  take_instance "${PICKET_INSTANCE:-dev}"
  trap end_session EXIT
  trap 'signalled INT' INT
  trap 'signalled TERM' TERM
  trap 'signalled HUP' HUP
  echo $$ >"$INSTANCE/session"
  empty_instance "$INSTANCE"
  if [ -n "$beside" ]; then begin_beside "$beside"; fi
  step as_runner fetch_all
  join_beside early
  # shellcheck disable=SC2034 # read by in_root
  DIE_WITH_PARENT=yes
  start_instance "$INSTANCE"
  join_beside
  set -a
  # shellcheck disable=SC1091 # written by write_env
  . "$INSTANCE/env"
  set +a
  # Should this script be killed outright, its services die with it, and the command is told.
  attend setpriv --pdeathsig TERM -- "$@" || status=$?
  exit "$status"
}
