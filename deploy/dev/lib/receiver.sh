# shellcheck shell=bash
# Real receivers, which are not ours: of Standard Webhooks and of mail. The libraries from PyPI, and a Python that runs
# them. The tests let them verify what our dispatcher sends.

RECEIVER_LIBRARIES="standardwebhooks>=1.0,<2 aiosmtpd>=1.4.6,<2"
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
    pass
else:
    sys.exit("a changed body was accepted")

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP
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
  key=$(stamp_of receiver "$RECEIVER_LIBRARIES" "$(declare -f fetch_receiver private_python_command write_python_wrapper)")
  is_fresh receiver "$key" && "$STATE/receiver/python" -c 'import standardwebhooks, aiosmtpd' 2>/dev/null && return 0
  say "fetch: receivers of webhooks and mail"
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
  # shellcheck disable=SC2086 # a list of requirements
  "$new/python" -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check --only-binary :all: \
    --target "$new/site" $RECEIVER_LIBRARIES >"$log" 2>&1 || die "pip cannot install $RECEIVER_LIBRARIES: $(tail -1 "$log")"
  "$new/python" -c "$RECEIVER_PROOF" || die "the receivers do not work"
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
