# shellcheck shell=bash
# May the uid that will run tools make a sandbox? Asked before anything is fetched or built.

REQUIRED_PROGRAMS="apt-get dpkg-deb tar setpriv setsid unshare flock awk sha256sum"

# The same namespaces and mounts as bwrap asks for, with nothing but util-linux.
can_sandbox() {
  "${AS[@]}" unshare --user --map-root-user --mount --pid --ipc --uts --fork --mount-proc -- \
    sh -c 'mount -t tmpfs none /tmp' >/dev/null 2>&1 || return 1
  local bwrap="$STATE/bin/bwrap"
  [ ! -x "$bwrap" ] || "${AS[@]}" "$bwrap" --unshare-all --ro-bind / / --proc /proc --dev /dev true >/dev/null 2>&1
}

# kernel_setting NAME -> its value, empty when this kernel does not have it
kernel_setting() { cat "/proc/sys/${1//.//}" 2>/dev/null || true; }

# The one command that enables it, by the first setting found to forbid it.
sandbox_remedy() {
  local sudo="sudo " name
  [ "$(id -u)" != 0 ] || sudo=
  if [ "$(kernel_setting kernel.apparmor_restrict_unprivileged_userns)" = 1 ]; then
    echo "${sudo}sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"; return
  fi
  if [ "$(kernel_setting kernel.unprivileged_userns_clone)" = 0 ]; then
    echo "${sudo}sysctl -w kernel.unprivileged_userns_clone=1"; return
  fi
  for name in user mnt pid net ipc uts cgroup; do
    if [ "$(kernel_setting "user.max_${name}_namespaces")" = 0 ]; then
      echo "${sudo}sysctl -w user.max_${name}_namespaces=15000"; return
    fi
  done
  echo "start this container with: --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
}

check_programs() {
  local program missing=
  for program in $REQUIRED_PROGRAMS; do
    command -v "$program" >/dev/null || missing+=" $program"
  done
  [ -z "$missing" ] || die "missing programs:$missing (Debian and Ubuntu: packages apt, dpkg, tar, util-linux, mawk, coreutils)"
}

check_sandbox() {
  can_sandbox && return 0
  say "error: this kernel lets uid $RUN_UID make no sandbox (user namespaces are restricted). Enable it with:"
  printf '\n    %s\n\n' "$(sandbox_remedy)" >&2
  exit 78
}
