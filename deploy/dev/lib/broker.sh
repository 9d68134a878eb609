# shellcheck shell=bash
# Further private brokers, Postgres and Redis servers, for tests that kill and restart one. A broker belongs to the folder DIR its caller
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

postgres_url() { printf 'postgres://postgres:%s@127.0.0.1:%s/postgres' "$(cat "$1/secret")" "$(port_of "$1" postgres)"; }
redis_url() { printf 'redis://:%s@127.0.0.1:%s/0' "$(cat "$1/secret")" "$(port_of "$1" redis)"; }

# further_start SERVICE DIR: the same for postgres and redis, whose data survive a `kill` as well.
further_start() {
  local service=$1 folder; folder=$(broker_folder "$2" create)
  if ! is_alive "$folder" "$service"; then
    as_runner mkdir -p "$folder"
    as_runner furnish_instance "$folder" "$service"
    as_runner touch "$folder/log/$service.log"
    "start_$service" "$folder"
  fi
  wait_until 60 "$folder" "$service" "${service}_is_ready" "$folder" || { show_log "$folder" "$service"; die "$service did not become ready"; }
  "${service}_url" "$folder"
  echo
}

further_stop() { stop_service "$(broker_folder "$2")" "$1" INT 30; }
further_kill() { stop_service "$(broker_folder "$2")" "$1" KILL 1; }

broker_stop() { stop_service "$(broker_folder "$1")" rabbitmq TERM 30; }
broker_kill() { stop_service "$(broker_folder "$1")" rabbitmq KILL 1; }

# stop_brokers FOLDER: all of a session, data included.
stop_brokers() {
  local folder service
  for folder in "$1"/*/; do
    [ -d "$folder" ] || continue
    for service in rabbitmq redis postgres; do stop_service "${folder%/}" "$service" KILL 5; done
  done
  as_runner rm -rf "$1"
}
