# shellcheck shell=bash
# A real Standard Webhooks receiver, which is not ours: the library from PyPI, and a Python that runs it.
# The tests let it verify what our dispatcher sends.

RECEIVER_LIBRARY="standardwebhooks>=1.0,<2"
RECEIVER_PROOF='
from standardwebhooks import Webhook
import datetime, sys
hook = Webhook("whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")
now = datetime.datetime.now(datetime.timezone.utc)
headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": hook.sign("msg_1", now, "{}")}
hook.verify("{}", headers)
try:
    hook.verify("{ }", headers)
except Exception:
    sys.exit(0)
sys.exit("a changed body was accepted")
'

# A python3 with pip that this uid can run; its real path, since shims depend on their environment.
system_python() {
  local candidate real
  for candidate in $(type -ap python3 || true) /usr/bin/python3; do
    real=$("$candidate" -c 'import ssl, sys; assert sys.version_info >= (3, 8); print(sys.executable)' 2>/dev/null) || continue
    "$real" -m pip --version >/dev/null 2>&1 || continue
    printf '%s' "$real"
    return 0
  done
  return 1
}

# shellcheck disable=SC2016 # for the wrapper
# write_python_wrapper FOLDER COMMAND...
write_python_wrapper() {
  local out=$1/python; shift
  {
    printf '#!/bin/sh\n# Runs python with the receiver library importable.\nhere=$(cd "$(dirname "$0")" && pwd)\n'
    printf 'PYTHONPATH=$here/site${PYTHONPATH:+:$PYTHONPATH} PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1\n'
    printf 'export PYTHONPATH PYTHONNOUSERSITE PYTHONDONTWRITEBYTECODE\n%s "$@"\n' "$*"
  } >"$out"
  chmod 755 "$out"
}

fetch_receiver() {
  local key new python
  key=$(stamp_of receiver "$RECEIVER_LIBRARY" "$(declare -f fetch_receiver private_python_command write_python_wrapper)")
  is_fresh receiver "$key" && "$STATE/receiver/python" -c 'import standardwebhooks' 2>/dev/null && return 0
  say "fetch: webhook receiver"
  new=$(scratch receiver)
  mkdir -p "$new/site"
  if python=$(system_python); then
    write_python_wrapper "$new" "exec $(quote "$python")"
  else
    open_apt
    say "fetch: python (this machine has none with pip)"
    unpack_closure "$new/root" "$MAINTENANCE_ONLY|perl.*" python3 python3-pip
    write_python_wrapper "$new" "$(private_python_command "$new/root")"
  fi
  local log=$STATE/new/pip.log
  "$new/python" -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check --only-binary :all: \
    --target "$new/site" "$RECEIVER_LIBRARY" >"$log" 2>&1 || die "pip cannot install $RECEIVER_LIBRARY: $(tail -1 "$log")"
  "$new/python" -c "$RECEIVER_PROOF" || die "the webhook receiver does not work"
  replace "$new" "$STATE/receiver"
  stamp receiver "$key"
}

# The unpacked python is started by its own loader with its own libraries; paths are relative to the wrapper.
# shellcheck disable=SC2016 # for the wrapper
private_python_command() {
  local root=$1 program loader libraries
  program=$(realpath --relative-to="$root" "$root/usr/bin/python3")
  loader=$(realpath --relative-to="$root" -s "$(loader_of "$root")")
  libraries=$(realpath --relative-to="$root" -s "$(library_folder "$root")")
  printf 'PYTHONHOME=$here/root/usr\nexport PYTHONHOME\nexec "$here/root/%s" --library-path "$here/root/%s" "$here/root/%s"' "$loader" "$libraries" "$program"
}
