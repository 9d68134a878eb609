# shellcheck shell=bash
# Brings everything that the stack needs and does not have yet. Each part has a stamp: the hash of what it
# was made from (its packages, the code that unpacks them, this distribution). A part whose stamp fits is
# left alone; another one is built beside the old one and then takes its place.

SERVICE_BASE="bubblewrap dash coreutils grep hostname libc-bin mawk sed slirp4netns socat tzdata util-linux"
FONT_PACKAGES="fonts-inter fonts-droid-fallback"

distribution() { (. /etc/os-release && printf '%s %s %s' "${ID:-}" "${VERSION_ID:-}" "$(dpkg --print-architecture)"); }

# stamp_of PART INGREDIENTS...
stamp_of() { printf '%s\n' "$@" "$(distribution)" "$MAINTENANCE_ONLY $LANGUAGES" "$(declare -f unpack_one unpack_closure make_root link_alternatives)" | sha256sum | cut -c1-32; }
is_fresh() { [ "$(cat "$STATE/stamps/$1" 2>/dev/null)" = "$2" ]; }
stamp() { mkdir -p "$STATE/stamps"; printf '%s\n' "$2" >"$STATE/stamps/$1"; }

# replace NEW OLD: puts a finished folder in the place of the old one. What still runs from the old one keeps
# it until `stack.sh down`.
replace() {
  if [ -e "$2" ]; then mkdir -p "$STATE/trash"; mv "$2" "$STATE/trash/$(basename "$2").$$.$RANDOM"; fi
  if [ -e "$1.packages" ]; then mv "$1.packages" "$2.packages"; fi
  mv "$1" "$2"
}

# New scratch beside the target (the same file system), swept when a fetch was interrupted.
scratch() { rm -rf "$STATE/new/$1" "$STATE/new/$1.packages"; mkdir -p "$STATE/new"; printf '%s/new/%s' "$STATE" "$1"; }

service_packages() {
  printf '%s' "$SERVICE_BASE"
  [ -z "$WANT_POSTGRES" ] || printf ' postgresql'
  [ -z "$WANT_REDIS" ] || printf ' redis-server'
  [ -z "$WANT_RABBITMQ" ] || printf ' rabbitmq-server'
}

# The root that the three services run in, bwrap, which runs them and the tools, and slirp4netns, the tools' network.
fetch_services() {
  local had wanted key new
  had=$(cat "$STATE/root.wanted" 2>/dev/null || true)
  # Packages fetched once stay wanted: runs with and without DATABASE_URL may alternate.
  # shellcheck disable=SC2046,SC2086 # lists of names
  wanted=$(printf '%s\n' $had $(service_packages) | sort -u | tr '\n' ' ')
  key=$(stamp_of services "$wanted" "$(declare -f finish_services write_program)")
  is_fresh services "$key" && return 0
  open_apt
  say "fetch: services ($(service_packages | tr ' ' '\n' | grep -E 'postgres|redis|rabbit' | tr '\n' ' '| sed 's/ $//'))"
  new=$(scratch root)
  # shellcheck disable=SC2086 # a list of names
  unpack_closure "$new" "$MAINTENANCE_ONLY|$LANGUAGES" $wanted
  finish_services "$new"
  replace "$new" "$STATE/root"
  write_program bwrap
  write_program slirp4netns
  printf '%s\n' "$wanted" >"$STATE/root.wanted"
  stamp services "$key"
  say "fetch: services done, $(wc -l <"$STATE/root.packages") packages, $(du -sm "$STATE/root" | cut -f1) MB"
}

finish_services() {
  mkdir -p "$1/data" "$1/run"
  printf 'root:x:0:0:root:/:/bin/sh\npicket:x:1000:1000:picket:/data:/bin/sh\n' >"$1/etc/passwd"
  printf 'root:x:0:\npicket:x:1000:\n' >"$1/etc/group"
  printf '127.0.0.1 localhost\n' >"$1/etc/hosts"
  printf 'hosts: files\npasswd: files\ngroup: files\n' >"$1/etc/nsswitch.conf"
  : >"$1/etc/resolv.conf"
}

# write_program NAME: $STATE/bin/NAME is the unpacked program itself where this machine's libraries suit it, else a
# wrapper that loads the unpacked libraries too.
write_program() {
  local root=$STATE/root out=$STATE/bin/$1
  mkdir -p "$STATE/bin"
  rm -f "$out"
  ln -s "../root/usr/bin/$1" "$out"
  if ! "$out" --version >/dev/null 2>&1; then
    rm -f "$out"
    printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$(quote "$(loader_of "$root")")" \
      "$(quote "$(library_folder "$root")")" "$(quote "$root/usr/bin/$1")" >"$out"
    chmod 755 "$out"
  fi
  "$out" --version >/dev/null || die "the unpacked $1 does not start: $("$out" --version 2>&1 | head -1)"
}

fetch_fonts() {
  local key new
  key=$(stamp_of fonts "$FONT_PACKAGES" "$(declare -f fetch_fonts)")
  is_fresh fonts "$key" && return 0
  open_apt
  say "fetch: fonts"
  new=$(scratch fonts)
  mkdir -p "$new.debs"
  local packages package
  # shellcheck disable=SC2086 # a list of names
  mapfile -t packages < <(closure "$MAINTENANCE_ONLY|$LANGUAGES" $FONT_PACKAGES)
  download "${packages[@]}"
  for package in "${packages[@]}"; do unpack_one "$new.debs" "$(compgen -G "$(deb_file "$package")*.deb")"; done
  mkdir -p "$new"
  find "$new.debs" -type f \( -name '*.otf' -o -name '*.ttf' -o -name '*.ttc' \) -exec cp -t "$new" {} +
  rm -rf "$new.debs"
  local family
  for family in Inter DroidSansFallback; do
    compgen -G "$new/$family*" >/dev/null || die "the font packages hold no $family"
  done
  replace "$new" "$STATE/fonts"
  stamp fonts "$key"
}

fetch_all() {
  mkdir -p "$STATE"
  exec 8>"$STATE/fetch.lock"
  flock -n 8 || { say "fetch: another run is fetching, waiting for it"; flock 8; }
  fetch_services
  fetch_receiver
  fetch_oidc
  local tool
  for tool in ${PICKET_TOOLS:-$DEFAULT_TOOLS}; do fetch_tool "$tool"; done
  fetch_fonts
  rm -rf "$STATE/new"
  close_apt
  exec 8>&-
}
