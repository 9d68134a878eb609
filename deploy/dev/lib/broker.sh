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
    # A node of a cluster shares its epmd with the others.
    if [ -s "$folder/peers" ]; then as_runner furnish_instance "$folder" amqp dist; else as_runner furnish_instance "$folder" amqp dist epmd; fi
    as_runner touch "$folder/log/rabbitmq.log"
    start_rabbitmq "$folder"
  fi
  wait_until 180 "$folder" rabbitmq rabbitmq_is_ready "$folder" || { show_log "$folder" rabbitmq; die "the broker did not become ready"; }
  amqp_url "$folder"
  echo
}

# broker_cluster DIR: starts three nodes, which belong to DIR/1, DIR/2 and DIR/3 and can be killed, started, paused and
# resumed one by one; prints their URLs, separated by commas.
broker_cluster() {
  local dir=$1 number folder first peers='' urls=''
  first=$(broker_folder "$dir/1" create)
  as_runner mkdir -p "$first"
  as_runner furnish_instance "$first" epmd
  as_runner touch "$first/log/epmd.log"
  start_epmd "$first"
  wait_until 30 "$first" epmd epmd_is_ready "$first" || { show_log "$first" epmd; die "epmd did not become ready"; }
  for number in 1 2 3; do
    folder=$(broker_folder "$dir/$number" create)
    as_runner join_cluster "$folder" "$first" "$(port_of "$first" epmd)"
    peers+="$(cat "$folder/node")@localhost"$'\n'
  done
  for number in 1 2 3; do
    folder=$(broker_folder "$dir/$number")
    printf '%s' "$peers" | as_runner tee "$folder/peers" >/dev/null
    as_runner furnish_instance "$folder" amqp dist
    as_runner touch "$folder/log/rabbitmq.log"
    start_rabbitmq "$folder"
  done
  for number in 1 2 3; do urls+=${urls:+,}$(broker_start "$dir/$number"); done
  printf '%s\n' "$urls"
}

# join_cluster FOLDER FIRST EPMD-PORT: one secret, one cookie, one epmd for all nodes.
join_cluster() {
  mkdir -p "$1"
  furnish_instance "$1"
  [ "$1" = "$2" ] || cp "$2/secret" "$1/secret"
  sed -i '/^epmd=/d' "$1/ports"
  printf 'epmd=%s\n' "$3" >>"$1/ports"
  (umask 077; sha256sum <"$2/secret" | cut -c1-40 >"$1/data/rabbitmq/.erlang.cookie"; chmod 400 "$1/data/rabbitmq/.erlang.cookie")
}

# Everything of it stops, without a word to anybody, and goes on.
broker_pause() { signal_all "$(broker_folder "$1")" rabbitmq STOP; }
broker_resume() { signal_all "$(broker_folder "$1")" rabbitmq CONT; }

# broker_ctl DIR WORDS...
broker_ctl() { local dir=$1; shift; rabbitmqctl "$(broker_folder "$dir")" "$@"; }

# broker_users DIR: a line for each role, with the URL of its user.
broker_users() {
  local folder role; folder=$(broker_folder "$1")
  for role in $BROKER_ROLES; do printf '%s %s\n' "$role" "$(role_amqp_url "$folder" "$role")"; done
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

# Of a cluster: all nodes and what they share.
broker_end() {
  local number
  for number in 3 2 1; do broker_kill "$1/$number"; done
  stop_service "$(broker_folder "$1/1")" epmd KILL 1
}

broker_stop() { stop_service "$(broker_folder "$1")" rabbitmq TERM 30; }
broker_kill() { stop_service "$(broker_folder "$1")" rabbitmq KILL 1; }

# stop_brokers FOLDER: all of a session, data included.
stop_brokers() {
  local folder service
  for folder in "$1"/*/; do
    [ -d "$folder" ] || continue
    for service in rabbitmq epmd redis postgres; do stop_service "${folder%/}" "$service" KILL 5; done
  done
  as_runner rm -rf "$1"
}
