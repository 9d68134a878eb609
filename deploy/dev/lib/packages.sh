# shellcheck shell=bash
# Debian packages without root: resolves a full closure against an EMPTY package database, so that nothing
# is taken for present because this machine happens to have it; downloads (apt checks the signatures) and
# unpacks. Runs no maintainer script: what those would have linked is linked here.

# shellcheck disable=SC2034 # read by fetch.sh and deploy/tools/root.sh
# Needed only by maintainer scripts and by parts that are switched off (LLVM: Postgres runs with jit=off).
# `missing_libraries` proves that nothing that stays wants any of them.
MAINTENANCE_ONLY='adduser|cron|cron-daemon-common|debconf|dpkg|init-system-helpers|libc-l10n|libllvm[0-9.]+|libpam-modules|libpam-modules-bin|libpam-runtime|libsemanage.*|libz3-4|locales|logrotate|lsb-base|passwd|postgresql-common.*|sensible-utils|ssl-cert|sysvinit-utils|tar|ucf|usrmerge'
# shellcheck disable=SC2034
LANGUAGES='perl|perl-.*|libperl.*|lib.*-perl|python3.*|libpython3.*'

apt_folder() { printf '%s/apt' "$STATE"; }

private_apt() { apt-get -c "$(apt_folder)/apt.conf" -q "$@"; }

# Prepares a private apt that reads this machine's sources and keys and writes only below the state folder.
open_apt() {
  local apt; apt=$(apt_folder)
  [ ! -e "$apt/ready" ] || return 0
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,log,debs}
  : >"$apt/status"
  cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Log "$apt/log";
Debug::NoLocking "1";
APT::Install-Recommends "0";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
CONF
  [ "${PICKET_NONFREE:-}" != 1 ] || admit_nonfree "$apt"
  say "fetch: reading the package lists"
  # A broken third-party source must not stop us: what we need is asked for by name right after.
  private_apt update >"$apt/update.log" 2>&1 || warn "apt-get update: $(tail -1 "$apt/update.log")"
  touch "$apt/ready"
}

# admit_nonfree FOLDER: this machine's sources of Debian, with its non-free part.
admit_nonfree() {
  local apt=$1 file
  mkdir -p "$apt/sources"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -e "$file" ] || sed -E '/^deb .*debian/ s/$/ non-free/' "$file" >"$apt/sources/${file##*/}"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$file" ] || sed -E '/^Components:.*main/ s/$/ non-free/' "$file" >"$apt/sources/${file##*/}"
  done
  printf 'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "%s";\n' "$apt/sources" >>"$apt/apt.conf"
}

close_apt() { rm -rf "$(apt_folder)"; }

# closure SKIP PACKAGES... -> lines name=version of the full closure, without names that match SKIP
closure() {
  local skip=$1; shift
  local log; log=$(apt_folder)/resolve.log
  private_apt -s install "$@" >"$log" 2>&1 || die "cannot resolve $*: $(grep -m1 '^E:' "$log" || tail -1 "$log")"
  sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' "$log" | grep -Evx "($skip)(:[a-z0-9]+)?=.*"
}

deb_file() {
  local name=${1%%=*} version=${1#*=}
  printf '%s/debs/%s_%s_' "$(apt_folder)" "${name%%:*}" "${version//:/%3a}"
}

# download NAME=VERSION...   (what is there already stays)
download() {
  local package missing=()
  for package in "$@"; do
    compgen -G "$(deb_file "$package")*.deb" >/dev/null || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  local log; log=$(apt_folder)/download.log
  (cd "$(apt_folder)/debs" && private_apt download "${missing[@]}") >"$log" 2>&1 ||
    die "cannot download: $(grep -m1 '^E:' "$log" || tail -1 "$log")"
}

# unpack_one ROOT DEB: documentation stays away; links of the merged /usr are kept; nobody becomes setuid.
unpack_one() {
  dpkg-deb --fsys-tarfile "$2" | tar -x -C "$1" --keep-directory-symlink --no-same-owner --no-same-permissions \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/info/*' \
    --exclude='./usr/share/locale/*' --exclude='./usr/share/lintian/*' --exclude='./usr/lib/postgresql/*/lib/bitcode/*'
}

# make_root ROOT: the folders of a merged /usr, so that old packages (/bin, /lib) and new ones agree.
make_root() {
  local folder
  mkdir -p "$1"/usr/{bin,sbin,lib,lib64} "$1"/{etc,proc,dev,tmp}
  for folder in bin sbin lib lib64; do ln -sfn "usr/$folder" "$1/$folder"; done
}

# unpack_closure ROOT SKIP PACKAGES...: a root made of these packages and all they need.
unpack_closure() {
  local root=$1 skip=$2; shift 2
  local packages package
  mapfile -t packages < <(closure "$skip" "$@")
  [ "${#packages[@]}" -gt 0 ] || die "cannot resolve $*"
  download "${packages[@]}"
  make_root "$root"
  export -f unpack_one
  # shellcheck disable=SC2016 # for the inner shell
  for package in "${packages[@]}"; do compgen -G "$(deb_file "$package")*.deb"; done |
    xargs -P "$(nproc)" -I DEB bash -c 'set -euo pipefail; unpack_one "$1" "$2"' unpack "$root" DEB ||
    die "cannot unpack into $root"
  printf '%s\n' "${packages[@]}" >"$root.packages"
  rm -f "$root"/usr/lib/postgresql/*/lib/llvmjit*.so
  find "$root" -type f -perm /6000 -exec chmod a-s {} +
  find "$root" -type d ! -perm -755 -exec chmod 755 {} +
  link_alternatives "$root"
}

# The folder of the C library and the loader inside it, whatever the architecture.
library_folder() { dirname "$(find "$1/usr/lib" "$1/usr/lib64" -maxdepth 2 -name libc.so.6 -print -quit)"; }
loader_of() { find "$(library_folder "$1")" "$1/usr/lib" "$1/usr/lib64" -maxdepth 1 -name 'ld-linux*.so*' -print -quit; }

# missing_libraries ROOT -> sonames which the programs and libraries of ROOT do not find in ROOT itself
missing_libraries() {
  local root=$1 libraries loader
  libraries=$(library_folder "$root")
  loader=$(loader_of "$root")
  # The loader falls back to the folders of this machine: an answer from there counts as missing.
  find "$root/usr" -type f \( -perm -100 -o -name '*.so' -o -name '*.so.*' \) -print0 |
    xargs -0 -r -n1 -P "$(nproc)" "$loader" --inhibit-cache --library-path "$libraries:$root/usr/lib" --list 2>/dev/null |
    awk -v inside="=> $root/" '$2 == "=>" && !index($0, inside) { print $1 }' | sort -u || true
}

# Does what update-alternatives would do: libraries kept in a folder of their own (libblas), and awk.
link_alternatives() {
  local root=$1 libraries name found progress=yes
  libraries=$(library_folder "$root")
  if [ -x "$root/usr/bin/mawk" ] && [ ! -e "$root/usr/bin/awk" ]; then ln -s mawk "$root/usr/bin/awk"; fi
  while [ -n "$progress" ]; do
    progress=
    for name in $(missing_libraries "$root"); do
      found=$(find "$root/usr/lib" -name "$name" -print -quit)
      if [ -z "$found" ] || [ -e "$libraries/$name" ]; then continue; fi
      ln -s "$(realpath --relative-to="$libraries" "$found")" "$libraries/$name"
      progress=yes
    done
  done
  local missing; missing=$(missing_libraries "$root" | tr '\n' ' ')
  [ -z "$missing" ] || die "libraries missing in $root: $missing"
}
