# shellcheck shell=bash
# The three services, each alone in a root of its own: bwrap gives it the fetched root read-only, its data
# folder as /data, and a process namespace. Killing the first process of that namespace ends all of them, so
# nothing can stay behind, epmd included. Works on an instance folder: data/ log/ pids/ ports secret.

# As a word of `run`, services die with the script; after `up` they stay until `down`.
DIE_WITH_PARENT=

# in_root DATA COMMAND...: the command line, in IN_ROOT, that runs COMMAND in the root with DATA as /data.
in_root() {
  local data=$1; shift
  IN_ROOT=("${AS[@]}" "$STATE/bin/bwrap" --unshare-user --uid 1000 --gid 1000 --unshare-pid --unshare-ipc --unshare-uts
    --hostname localhost --new-session --as-pid-1 --ro-bind "$STATE/root" / --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run
    --bind "$data" /data --chdir /data --clearenv --setenv PATH /usr/bin:/usr/sbin --setenv HOME /data --setenv LANG C.UTF-8)
  if [ -n "$DIE_WITH_PARENT" ]; then IN_ROOT+=(--die-with-parent); fi
  IN_ROOT+=("$@")
}

started_at() { awk '{ sub(/.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }

# is_alive INSTANCE SERVICE: by process id and start time, for ids are used again.
is_alive() {
  local pid since
  read -r pid since 2>/dev/null <"$1/pids/$2" || return 1
  [ "$(started_at "$pid")" = "$since" ]
}

# launch INSTANCE SERVICE BWRAP-ARGUMENTS... : starts it in the background and notes its first process.
launch() {
  local instance=$1 service=$2 pid='' tries; shift 2
  in_root "$instance/data/$service" --info-fd 3 "$@"
  rm -f "$instance/pids/$service"
  : >"$instance/pids/$service.info"
  setsid "${IN_ROOT[@]}" 3>"$instance/pids/$service.info" 9>&- </dev/null >>"$instance/log/$service.log" 2>&1 &
  local monitor=$!
  disown "$monitor"
  for ((tries = 0; tries < 400; tries++)); do
    pid=$(sed -n 's/.*"child-pid": *\([0-9]*\).*/\1/p' "$instance/pids/$service.info")
    [ -z "$pid" ] || break
    kill -0 "$monitor" 2>/dev/null || break
    sleep 0.05
  done
  [ -n "$pid" ] || { show_log "$instance" "$service"; die "$service does not start"; }
  printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$instance/pids/$service"
}

show_log() { say "last lines of $1/log/$2.log:"; tail -n 15 "$1/log/$2.log" | sed 's/^/    /' >&2; }

# stop_service INSTANCE SERVICE SIGNAL SECONDS: asks, then kills; returns when it is gone.
stop_service() {
  local pid _ tries
  if is_alive "$1" "$2"; then
    read -r pid _ <"$1/pids/$2"
    kill -s "$3" "$pid" 2>/dev/null || true
    for ((tries = 0; tries < $4 * 20; tries++)); do is_alive "$1" "$2" || break; sleep 0.05; done
    if is_alive "$1" "$2"; then
      kill -s KILL "$pid" 2>/dev/null || true
      for ((tries = 0; tries < 200; tries++)); do is_alive "$1" "$2" || break; sleep 0.05; done
    fi
  fi
  ! is_alive "$1" "$2" || warn "$2 (process $pid) does not end"
  rm -f "$1/pids/$2" "$1/pids/$2.info"
}

# signal_all INSTANCE SERVICE SIGNAL: to every process of its namespace.
signal_all() {
  local pid space process
  is_alive "$1" "$2" || die "no $2 runs in $1"
  read -r pid _ <"$1/pids/$2"
  space=$(readlink "/proc/$pid/ns/pid")
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/ns/pid" 2>/dev/null)" != "$space" ] || kill -s "$3" "${process#/proc/}" 2>/dev/null || true
  done
}

stop_services() {
  local manner
  # What starts empty next time needs no farewell.
  if keeps_data "$1"; then manner=(TERM 20 INT 20); else manner=(KILL 5 KILL 5); fi
  stop_service "$1" rabbitmq "${manner[0]}" "${manner[1]}"
  stop_service "$1" redis "${manner[0]}" "${manner[1]}"
  stop_service "$1" postgres "${manner[2]}" "${manner[3]}"
}

# wait_until SECONDS INSTANCE SERVICE TEST...: fails as soon as the service is dead.
wait_until() {
  local seconds=$1 instance=$2 service=$3 tries; shift 3
  for ((tries = 0; tries < seconds * 10; tries++)); do
    if "$@"; then return 0; fi
    is_alive "$instance" "$service" || return 1
    sleep 0.1
  done
  return 1
}

port_is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# --- Postgres -------------------------------------------------------------------------------------------
start_postgres() {
  local instance=$1 bin fsync=on
  bin=$(cd "$STATE/root" && compgen -G 'usr/lib/postgresql/*/bin' | sort -V | tail -1)
  if [ ! -f "$instance/data/postgres/pg/PG_VERSION" ]; then
    as_runner initialize_postgres "$instance" "/$bin"
  fi
  as_runner rm -f "$instance/data/postgres/pg/postmaster.pid" # of a former life: nobody else is in this instance
  [ "$(instance_kind "$instance")" != test ] || fsync=off
  launch "$instance" postgres "/$bin/postgres" -D /data/pg -p "$(port_of "$instance" postgres)" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=300 -c jit=off -c "fsync=$fsync"
}

initialize_postgres() {
  local instance=$1 bin=$2
  cp "$instance/secret" "$instance/data/postgres/password"
  in_root "$instance/data/postgres" "$bin/initdb" -D /data/pg -U postgres --auth=scram-sha-256 --pwfile=/data/password \
    --locale=C -E UTF8 --no-sync
  "${IN_ROOT[@]}" >"$instance/log/initdb.log" 2>&1 </dev/null || { tail -5 "$instance/log/initdb.log" >&2; die "initdb failed"; }
  rm "$instance/data/postgres/password"
}

postgres_is_ready() { [ "$(sed -n '8{s/ //g;p}' "$1/data/postgres/pg/postmaster.pid" 2>/dev/null)" = ready ]; }

# --- Redis ----------------------------------------------------------------------------------------------
start_redis() {
  as_runner configure_redis "$1" "$(port_of "$1" redis)"
  launch "$1" redis /usr/bin/redis-server /data/redis.conf
}

configure_redis() {
  printf '%s\n' 'bind 127.0.0.1' "port $2" "requirepass $(cat "$1/secret")" 'dir /data' 'daemonize no' 'save ""' \
    'appendonly yes' 'appendfsync everysec' >"$1/data/redis/redis.conf"
}

redis_is_ready() {
  local answer
  answer=$( {
    exec 3<>"/dev/tcp/127.0.0.1/$(port_of "$1" redis)" || exit 1
    printf 'AUTH %s\r\nPING\r\n' "$(cat "$1/secret")" >&3
    head -n 2 <&3
  } 2>/dev/null) || return 1
  [[ $answer == *PONG* ]]
}

# --- epmd, for the nodes of one cluster: none of them may take it along when it is killed ------------------
start_epmd() {
  as_runner mkdir -p "$1/data/epmd"
  launch "$1" epmd /usr/bin/epmd -port "$(port_of "$1" epmd)" -address 127.0.0.1
}

epmd_is_ready() { port_is_open "$(port_of "$1" epmd)"; }

# --- RabbitMQ -------------------------------------------------------------------------------------------
# rabbitmq_environment INSTANCE -> bwrap arguments in RABBITMQ
rabbitmq_environment() {
  local home; home=$(cd "$STATE/root" && compgen -G 'usr/lib/rabbitmq/lib/rabbitmq_server-*' | sort -V | tail -1)
  RABBITMQ_SBIN=/$home/sbin
  RABBITMQ=(--setenv RABBITMQ_HOME "/$home" --setenv RABBITMQ_NODENAME "$(cat "$1/node")@localhost"
    --setenv RABBITMQ_CONFIG_FILE /data/rabbitmq.conf --setenv RABBITMQ_CONF_ENV_FILE /data/env.conf
    --setenv RABBITMQ_MNESIA_BASE /data/mnesia --setenv RABBITMQ_LOG_BASE /data/log --setenv RABBITMQ_LOGS -
    --setenv RABBITMQ_ENABLED_PLUGINS_FILE /data/enabled_plugins --setenv RABBITMQ_PID_FILE /data/pid
    --setenv RABBITMQ_DIST_PORT "$(port_of "$1" dist)" --setenv ERL_EPMD_PORT "$(port_of "$1" epmd)" --setenv ERL_EPMD_ADDRESS 127.0.0.1
    --setenv RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS '-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none')
}

start_rabbitmq() {
  as_runner configure_rabbitmq "$1" "$(port_of "$1" amqp)"
  rabbitmq_environment "$1"
  launch "$1" rabbitmq "${RABBITMQ[@]}" "$RABBITMQ_SBIN/rabbitmq-server"
}

configure_rabbitmq() {
  local data=$1/data/rabbitmq node number=0
  printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$2" 'load_definitions = /data/definitions.json' \
    'vm_memory_high_watermark.absolute = 512MB' 'disk_free_limit.absolute = 50MB' \
    "consumer_timeout = ${PICKET_BROKER_CONSUMER_TIMEOUT_MS:-7200000}" >"$data/rabbitmq.conf"
  if [ -s "$1/peers" ]; then
    # A minority of a cluster stops to answer, and a node that is silent for eight seconds is gone.
    printf '%s\n' 'cluster_partition_handling = pause_minority' 'net_ticktime = 8' \
      'cluster_formation.peer_discovery_backend = classic_config' >>"$data/rabbitmq.conf"
    while read -r node; do
      printf 'cluster_formation.classic_config.nodes.%d = %s\n' "$((number += 1))" "$node" >>"$data/rabbitmq.conf"
    done <"$1/peers"
  fi
  (umask 077; define_rabbitmq "$1" >"$data/definitions.json")
  printf '[].\n' >"$data/enabled_plugins"
  : >"$data/env.conf"
  mkdir -p "$data/log"
}

# A user for each role besides the administrator `picket`, with the least that the role needs (docs/operations.md): roles
# differ in rights, so one that was taken over cannot speak for another. Queues of tests that were broken off, whose names
# begin with t and an id, go away once nobody has asked for them for ten minutes.
BROKER_ROLES="steward worker dispatcher renderer"
define_rabbitmq() {
  local role own='^[^.]+\\.(events|dead|deliveries|reports|tasks\\..+)$'
  printf '{"vhosts":[{"name":"/"}],"users":[{"name":"picket","password":"%s","tags":"administrator"}' "$(cat "$1/secret")"
  for role in $BROKER_ROLES; do
    printf ',{"name":"picket-%s","password":"%s","tags":""}' "$role" "$(role_password "$1" "$role")"
  done
  printf '],"permissions":[%s' "$(permit picket '.*' '.*' '.*')"
  printf ',%s' "$(permit picket-steward "$own" "$own" "$own")" \
    "$(permit picket-worker '^$' '^$' '^[^.]+\\.tasks\\..+$')" \
    "$(permit picket-dispatcher '^$' '^$' '^[^.]+\\.deliveries$')" \
    "$(permit picket-renderer '^$' '^$' '^[^.]+\\.reports$')"
  printf '],"policies":[{"vhost":"/","name":"tests","pattern":"^t[0-9a-f]{32}\\\\.","apply-to":"queues","priority":0,'
  printf '"definition":{"expires":600000}}]}\n'
}
permit() { printf '{"user":"%s","vhost":"/","configure":"%s","write":"%s","read":"%s"}' "$1" "$2" "$3" "$4"; }
role_password() { printf '%s %s' "$(cat "$1/secret")" "$2" | sha256sum | cut -c1-32; }

# The port opens before the boot ends, and a stop sent then is lost: only await_startup knows.
rabbitmq_is_ready() {
  port_is_open "$(port_of "$1" amqp)" || return 1
  rabbitmqctl "$1" await_startup >>"$1/log/rabbitmqctl.log" 2>&1
}

# rabbitmqctl INSTANCE WORDS...
rabbitmqctl() {
  local instance=$1; shift
  rabbitmq_environment "$instance"
  in_root "$instance/data/rabbitmq" "${RABBITMQ[@]}" "$RABBITMQ_SBIN/rabbitmqctl" -q -n "$(cat "$instance/node")@localhost" "$@"
  timeout 120 "${IN_ROOT[@]}" 9>&- </dev/null
}
