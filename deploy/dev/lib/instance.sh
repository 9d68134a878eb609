# shellcheck shell=bash
# An instance is one set of running services: $STATE/instance/<name>/ with data/ log/ pids/, its ports, its
# password (`secret`), its broker's node name, its lock, and `env` with what programs need to know.
# `run` and `dev` keep their data; all others start empty.

instance_kind() { local name=${1##*/}; printf '%s' "${name%%-*}"; }
keeps_data() { [[ $(instance_kind "$1") == @(run|dev) ]]; }

# take_instance NAME: the first of NAME, NAME-2, NAME-3… that nobody uses; sets INSTANCE, holds its lock (9).
take_instance() {
  local number name
  [[ $1 =~ ^[a-z0-9]+$ ]] || die "PICKET_INSTANCE must be lower case letters and digits, got '$1'"
  for number in {1..50}; do
    name=$1
    [ "$number" = 1 ] || name=$1-$number
    INSTANCE=$STATE/instance/$name
    as_runner mkdir -p "$INSTANCE"
    exec 9>"$INSTANCE/lock"
    if flock -n 9 && [ ! -e "$INSTANCE/up" ]; then
      [ "$number" = 1 ] || say "instance $1 is in use, taking $name"
      return 0
    fi
    exec 9>&-
  done
  die "50 instances named $1 are in use"
}

# lock_instance NAME: exactly this one, even when `up` left services in it.
lock_instance() {
  INSTANCE=$STATE/instance/$1
  as_runner mkdir -p "$INSTANCE"
  exec 9>"$INSTANCE/lock"
  flock -n 9 || die "instance $1 is in use by process $(cat "$INSTANCE/session" 2>/dev/null || echo '?')"
}

# Ports below the range that the kernel hands out by itself, not listened on, and in no other instance.
free_port() {
  local low taken port tries
  read -r low _ </proc/sys/net/ipv4/ip_local_port_range
  [ "$low" -gt 14000 ] || low=32000
  taken=" $(cat "$STATE"/instance/*/ports "$STATE"/instance/*/brokers/*/ports "$STATE"/brokers/*/ports 2>/dev/null | cut -d= -f2 | tr '\n' ' ') "
  for ((tries = 0; tries < 1000; tries++)); do
    port=$((10240 + (RANDOM * 32768 + RANDOM) % (low - 10240)))
    [[ $taken == *" $port "* ]] || is_listened_on "$port" || { printf '%s' "$port"; return 0; }
  done
  die "no free port between 10240 and $low"
}

is_listened_on() {
  local hex; hex=$(printf ':%04X' "$1")
  awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

port_of() { sed -n "s/^$2=//p" "$1/ports"; }

# Ports, password and node name stay as long as the data; a port that somebody took meanwhile is replaced.
furnish_instance() {
  local instance=$1 name port; shift
  exec 6>"$STATE/ports.lock"
  flock 6
  mkdir -p "$instance"/{data/postgres,data/redis,data/rabbitmq,log,pids}
  chmod 700 "$instance" "$instance/data"
  touch "$instance/ports"
  (umask 077; [ -s "$instance/secret" ] || random_hex 16 >"$instance/secret")
  # Unique on this machine even where two checkouts meet in one epmd: the password's hash tells them apart.
  [ -s "$instance/node" ] || printf 'picket-%s-%s' "$(checkout_hash)" "$(random_hex 3)" >"$instance/node"
  for name in "$@"; do
    port=$(port_of "$instance" "$name")
    if [ -z "$port" ] || is_listened_on "$port"; then
      port=$(free_port)
      sed -i "/^$name=/d" "$instance/ports"
      printf '%s=%s\n' "$name" "$port" >>"$instance/ports"
    fi
  done
  exec 6>&-
}

ports_of() { if [ "$1" = rabbitmq ]; then echo amqp dist epmd; else echo "$1"; fi; }

# empty_instance: stops what a killed session left, and forgets the data unless it is kept.
empty_instance() {
  stop_brokers "$1/brokers"
  stop_services "$1"
  if ! keeps_data "$1"; then as_runner rm -rf "$1/data" "$1/ports" "$1/secret" "$1/node" "$1/brokers"; fi
}

wanted_services() {
  [ -z "$WANT_POSTGRES" ] || echo postgres
  [ -z "$WANT_REDIS" ] || echo redis
  [ -z "$WANT_RABBITMQ" ] || echo rabbitmq
}

# start_instance: all wanted services at once, then waits for each. A port lost in a race gets a second try.
start_instance() {
  local instance=$1 service attempt failed
  for attempt in 1 2 3; do
    failed=
    as_runner furnish_instance "$instance"
    for service in $(wanted_services); do
      if is_alive "$instance" "$service"; then continue; fi
      # shellcheck disable=SC2046 # a list of names
      as_runner furnish_instance "$instance" $(ports_of "$service")
      as_runner touch "$instance/log/$service.log"
      "start_$service" "$instance"
    done
    for service in $(wanted_services); do
      wait_until 180 "$instance" "$service" "${service}_is_ready" "$instance" || { failed=$service; break; }
    done
    [ -n "$failed" ] || break
    if [ "$attempt" = 3 ] || ! grep -qiE 'address already in use|eaddrinuse|in use by another|epmd error' "$instance/log/$failed.log"; then
      show_log "$instance" "$failed"
      die "$failed did not become ready"
    fi
    warn "$failed lost its port, once more"
    stop_service "$instance" "$failed" KILL 5
  done
  write_env "$instance"
  local list; list=$(wanted_services | tr '\n' ' ')
  say "up: ${list:-nothing of ours }ready (instance ${instance##*/})"
}

# In the kernel already, or as a module that it loads when asked.
has_packet_filter() { grep -qs nf_tables_ /proc/kallsyms || modprobe -qn nf_tables 2>/dev/null; }

write_env() {
  local instance=$1 service password; password=$(cat "$1/secret")
  umask 077
  rm -f "$instance/env.new"
  {
    printf 'DATABASE_URL=%s\n' "$(quote "${DATABASE_URL:-postgres://postgres:$password@127.0.0.1:$(port_of "$instance" postgres)/postgres}")"
    printf 'AMQP_URL=%s\n' "$(quote "${AMQP_URL:-$(amqp_url "$instance")}")"
    printf 'REDIS_URL=%s\n' "$(quote "${REDIS_URL:-redis://:$password@127.0.0.1:$(port_of "$instance" redis)/0}")"
    # For `make run`; tests that need them start a broker of their own.
    [ -n "${AMQP_URL:-}" ] || for service in $BROKER_ROLES; do
      printf 'PICKET_AMQP_URL_%s=%s\n' "${service^^}" "$(quote "$(role_amqp_url "$instance" "$service")")"
    done
    printf 'PICKET_BWRAP=%s\n' "$(quote "$STATE/bin/bwrap")"
    # Before 1.1 it answers name look-ups for a run, whatever it is told: then there is no level L1.
    if [[ $("$STATE/bin/slirp4netns" --help 2>&1 || true) == *--disable-dns* ]]; then
      printf 'PICKET_SLIRP=%s\n' "$(quote "$STATE/bin/slirp4netns")"
      # Where the kernel has both parts it needs, L1 must hold: tests then fail rather than try nothing.
      if (: <>/dev/net/tun) 2>/dev/null && has_packet_filter; then
        printf 'PICKET_TEST_LEVELS=%s\n' "$(quote "${PICKET_TEST_LEVELS-L1}")"
      fi
    fi
    # Where root may make networks, no test of L0 may be skipped; a machine without `unshare` or `ip` then fails and says so.
    if [ "$EUID" -eq 0 ] && has_packet_filter && { ! command -v unshare >/dev/null || unshare --net true 2>/dev/null; }; then
      printf 'PICKET_TEST_NETD_MUST=%s\n' "$(quote "${PICKET_TEST_NETD_MUST-1}")"
    fi
    printf 'PICKET_TOOLS_ROOT=%s\n' "$(quote "$STATE/tools")"
    printf 'PICKET_FONTS_DIR=%s\n' "$(quote "$STATE/fonts")"
    printf 'PICKET_RECEIVER_PYTHON=%s\n' "$(quote "$STATE/receiver/python")"
    [ ! -x "$STATE/oidc/provider" ] || printf 'PICKET_OIDC_PROVIDER=%s\n' "$(quote "$STATE/oidc/provider")"
    printf 'PICKET_STATE_DIR=%s\n' "$(quote "$STATE")"
    printf 'PICKET_STACK_INSTANCE=%s\n' "$(quote "$instance")"
    printf 'PICKET_BROKER_CMD=%s\n' "$(quote "$CHECKOUT/deploy/dev/stack.sh broker")"
  } >"$instance/env.new"
  mv -f "$instance/env.new" "$instance/env"
  ln -sfn "instance/${instance##*/}/env" "$STATE/env"
  umask 022
}

role_amqp_url() { printf 'amqp://picket-%s:%s@127.0.0.1:%s/%%2f' "$2" "$(role_password "$1" "$2")" "$(port_of "$1" amqp)"; }
amqp_url() { printf 'amqp://picket:%s@127.0.0.1:%s/%%2f' "$(cat "$1/secret")" "$(port_of "$1" amqp)"; }

# stop_everything: sessions are asked to end by themselves, then whatever is left is stopped.
stop_everything() {
  local instance session tries
  for instance in "$STATE"/instance/*/; do
    instance=${instance%/}
    [ -d "$instance" ] || continue
    session=$(cat "$instance/session" 2>/dev/null || true)
    if ! flock -n "$instance/lock" true 2>/dev/null && [ -n "$session" ]; then
      say "down: ending the session of instance ${instance##*/}"
      kill -TERM "$session" 2>/dev/null || true
      for ((tries = 0; tries < 700; tries++)); do flock -n "$instance/lock" true && break; sleep 0.1; done
    fi
    rm -f "$instance/up" "$instance/session" "$instance/env"
    empty_instance "$instance"
  done
  stop_brokers "$STATE/brokers"
  as_runner rm -rf "$STATE/trash"
  report_leftovers
}

# Processes of ours that should not be: by command line, and the first processes that were noted.
leftovers() {
  local process
  for process in /proc/[0-9]*; do
    case "${process#/proc/}" in "$$" | "$BASHPID") continue ;; esac
    if { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -qF -e "$STATE/root" -e "$STATE/instance" -e "$STATE/brokers" ||
      [[ $(readlink "$process/cwd" 2>/dev/null) == "$STATE"/@(root|instance|brokers)* ]]; then
      printf '%s ' "${process#/proc/}"
    fi
  done
}

report_leftovers() {
  local left tries
  for tries in {1..20}; do left=$(leftovers); [ -n "$left" ] || return 0; sleep 0.1; done
  ps -o pid,ppid,user,args -p "${left// /,}0" >&2 || true
  die "processes are left: $left"
}
