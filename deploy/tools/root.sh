# shellcheck shell=bash
# Builds the read-only root of one scanner tool from that tool's Debian closure alone, C library included,
# and proves it by running the tool in it under bwrap. Beside $STATE/tools/<tool>/ it leaves
#   <tool>.hash      sha256 over every path, mode, link and content (what a scan records)
#   <tool>.version   the upstream version, e.g. 7.93
#   <tool>.packages  name=version of every package inside

# tool_column NAME NUMBER
tool_column() {
  awk -F'|' -v name="$1" -v column="$2" '{ key = $1; gsub(/^ +| +$/, "", key) }
    key == name { value = $column; gsub(/^ +| +$/, "", value); print value; found = 1 }
    END { exit !found }' <<<"$TOOL_TABLE"
}

# tool_skips PROGRAMS PACKAGES. Languages stay only in roots that keep all programs or name one: the others run none.
tool_skips() {
  if [ "$1" = '*' ]; then printf '%s' 'libpam-.*|locales|libc-l10n|logrotate'
  elif [[ " $2 " == *" perl "* ]]; then printf '%s' "$MAINTENANCE_ONLY|python3.*|libpython3.*"
  elif [[ " $2 " == *" python3 "* ]]; then printf '%s' "$MAINTENANCE_ONLY|perl|perl-.*|libperl.*"
  else printf '%s' "$MAINTENANCE_ONLY|$LANGUAGES"; fi
}

fetch_tool() {
  local tool=$1 packages programs pins key new
  packages=$(tool_column "$tool" 2) || die "PICKET_TOOLS names '$tool', expected names from deploy/tools/table.sh"
  programs=$(tool_column "$tool" 3)
  pins=$(python_pins "$tool")
  key=$(stamp_of "tool-$tool" "$(tool_column "$tool" 0)" "$(declare -f trim_tool furnish_tool)" \
    ${pins:+"$(cat "${pins%.txt}".*txt)" "$(declare -f install_python build_python python_platforms write_python_program finish_python)"})
  is_fresh "tool-$tool" "$key" && [ -e "$STATE/tools/$tool.hash" ] && return 0
  open_apt
  # Not every distribution has every tool; the worker offers those it finds.
  # shellcheck disable=SC2086 # a list of names
  if [[ " $DEFAULT_TOOLS " != *" $tool "* ]] && ! private_apt -s install $packages >/dev/null 2>&1; then
    warn "this distribution has no $tool, going on without it"
    return 0
  fi
  say "fetch: tool $tool"
  new=$(scratch "tool-$tool")
  # shellcheck disable=SC2086 # a list of names
  unpack_closure "$new" "$(tool_skips "$programs" "$packages")" $packages
  [ -z "$pins" ] || install_python "$tool" "$new"
  trim_tool "$new" "$programs"
  [ -z "$pins" ] || finish_python "$new"
  furnish_tool "$new"
  prove_tool "$tool" "$new"
  mkdir -p "$STATE/tools"
  content_hash "$new" >"$STATE/new/$tool.hash"
  if [ -n "$pins" ]; then
    python_version "$tool" "$new" >"$STATE/new/$tool.version"
    sed -n 's/^\([A-Za-z0-9_.-]*\)==\([^ ]*\).*/\1=\2/p' "${pins%.txt}".*txt >>"$new.packages"
  else
    tool_version "$tool" "$packages" "$new.packages" >"$STATE/new/$tool.version"
  fi
  replace "$new" "$STATE/tools/$tool"
  mv "$STATE/new/$tool.hash" "$STATE/new/$tool.version" "$STATE/tools/"
  stamp "tool-$tool" "$key"
  say "fetch: tool $tool $(cat "$STATE/tools/$tool.version") proven, $(du -sm "$STATE/tools/$tool" | cut -f1) MB"
}

# Removes what no tool needs, and every program that the tool does not name.
trim_tool() {
  local root=$1 program folder
  if [ "$2" != '*' ]; then
    for program in "$root"/usr/bin/* "$root"/usr/sbin/*; do
      # python3 and ruby are links to the version's own name.
      [[ " $2 " == *" ${program##*/} "* || ( " $2 " == *" python3 "* && ${program##*/} =~ ^python3\.[0-9]+$ ) ||
        ( " $2 " == *" ruby "* && ${program##*/} =~ ^ruby[0-9.]+$ ) ]] || rm -rf "$program"
    done
    rm -rf "$root"/usr/lib/{init,systemd,tmpfiles.d,udev} "$root"/usr/share/{applications,icons,pixmaps,zsh,gcc,systemd}
    find "$root/usr/lib" -type d -name gconv -prune -exec rm -rf {} +
  fi
  # A tool may keep its data below /var/lib, in a folder of its name.
  for folder in "$root"/var/lib/*; do
    [[ " $2 " == *" ${folder##*/} "* ]] || rm -rf "$folder"
  done
  find "$root/var" -mindepth 1 -maxdepth 1 ! -name lib -exec rm -rf {} + 2>/dev/null || true
  rmdir "$root/var/lib" "$root/var" 2>/dev/null || true
  rm -rf "${root:?}"/{boot,home,media,mnt,opt,root,run,srv} "${root:?}"/usr/{games,include,src,local} \
    "$root"/usr/share/{doc,doc-base,man,info,lintian,bug,menu,bash-completion}
}

# Names and addresses come from files that name nothing: no lookups of the host's users, no DNS.
furnish_tool() {
  local root=$1
  mkdir -p "$root"/{proc,dev,tmp,scratch,input,etc}
  printf 'tool:x:65534:65534:tool:/scratch:/usr/sbin/nologin\n' >"$root/etc/passwd"
  printf 'tool:x:65534:\n' >"$root/etc/group"
  printf 'passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n' >"$root/etc/nsswitch.conf"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
  : >"$root/etc/resolv.conf"
  # nikto wants to see the definition of its report, and never reads it.
  [ ! -d "$root/var/lib/nikto" ] || install -D -m 644 /dev/null "$root/usr/share/doc/nikto/nikto.dtd"
  rm -f "$root"/etc/{shadow,gshadow,subuid,subgid}*
  find "$root" -type f -perm /6000 -exec chmod a-s {} +
  find "$root" -type d ! -perm 755 -exec chmod 755 {} +
  chmod -R a+rX "$root"
}

content_hash() {
  (
    cd "$1" || exit
    find . -printf '%y %m %P %l\n' | LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  ) | sha256sum | cut -d' ' -f1
}

# tool_version TOOL PACKAGES LIST: 1:7.93+dfsg1-1 -> 7.93
tool_version() { sed -n "s/^${2%% *}=//p" "$3" | head -1 | sed -E 's/^[0-9]+://; s/-[^-]*$//; s/[+~](dfsg|ds|really|git).*$//'; }

PROOF_SERVER='
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<html><head><title>picket proof</title></head></html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *ignored): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
print(server.server_port, flush=True)
server.serve_forever()
'

# prove_tool TOOL ROOT: runs the proof as an unprivileged uid in the root, against a loopback server.
prove_tool() {
  local tool=$1 root=$2 command expected port output server
  command=$(tool_column "$tool" 4)
  expected=$(tool_column "$tool" 5)
  exec 7< <(exec timeout 300 "$STATE/receiver/python" -c "$PROOF_SERVER" 2>/dev/null)
  server=$!
  read -r -t 20 port <&7 || die "the proof server does not start"
  # shellcheck disable=SC2086 # the command line is a list of words
  output=$(timeout 120 "$STATE/bin/bwrap" --unshare-user --uid 65534 --gid 65534 --unshare-ipc --unshare-pid --unshare-uts \
    --die-with-parent --new-session --clearenv --setenv PATH /usr/bin --setenv HOME /scratch --setenv LANG C.UTF-8 \
    --ro-bind "$root" / --proc /proc --dev /dev --tmpfs /scratch --tmpfs /tmp --remount-ro / --chdir /scratch \
    --cap-drop ALL -- ${command//@PORT@/$port} 2>&1 </dev/null) || true
  kill "$server" 2>/dev/null || true
  exec 7<&-
  grep -Eq "$expected" <<<"$output" || die "$tool does not work in its root, expected /$expected/ from: $command
$(tail -20 <<<"$output")"
}
