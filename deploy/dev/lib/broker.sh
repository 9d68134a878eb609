# shellcheck shell=bash
# Further private brokers, for tests that kill and restart one. A broker belongs to the folder DIR its caller
# names (`DIR/.broker` holds its id); its data, ports, password and node name live in the state folder, which
# the unprivileged uid can reach, and survive `stop` and `kill`. The session that started it ends it.

# broker_folder DIR -> the broker's instance folder
broker_folder() {
  local dir=$1 id
  id=$(cat "$dir/.broker" 2>/dev/null || true)
  if [ -z "$id" ]; then
    [ "${2:-}" = create ] || die "no broker was started in $dir"
    mkdir -p "$dir"
    id=$(random_hex 6)
    printf '%s\n' "$id" >"$dir/.broker"
  fi
  [[ $id =~ ^[0-9a-f]{12}$ ]] || die "$dir/.broker must hold 12 hex digits"
  printf '%s/%s' "$(brokers_folder)" "$id"
}

# Below the session that asks, when there is one: its end is theirs.
brokers_folder() {
  local session=${PICKET_STACK_INSTANCE:-}
  if [[ $session == "$STATE"/instance/* && -d $session ]]; then printf '%s/brokers' "$session"; else printf '%s/brokers' "$STATE"; fi
}

broker_start() {
  local folder; folder=$(broker_folder "$1" create)
  # shellcheck disable=SC2034 # read by fetch.sh
  WANT_RABBITMQ=yes
  [ -d "$STATE/root/usr/lib/rabbitmq" ] || as_runner fetch_all
  if ! is_alive "$folder" rabbitmq; then
    as_runner mkdir -p "$folder"
    as_runner furnish_instance "$folder" amqp dist epmd
    as_runner touch "$folder/log/rabbitmq.log"
    start_rabbitmq "$folder"
  fi
  wait_until 180 "$folder" rabbitmq rabbitmq_is_ready "$folder" || { show_log "$folder" rabbitmq; die "the broker did not become ready"; }
  amqp_url "$folder"
  echo
}

broker_stop() { stop_service "$(broker_folder "$1")" rabbitmq TERM 30; }
broker_kill() { stop_service "$(broker_folder "$1")" rabbitmq KILL 1; }

# stop_brokers FOLDER: all of a session, data included.
stop_brokers() {
  local folder
  for folder in "$1"/*/; do
    [ -d "$folder" ] || continue
    stop_service "${folder%/}" rabbitmq KILL 5
  done
  as_runner rm -rf "$1"
}
