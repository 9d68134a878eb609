#!/usr/bin/env bash
# Prints the command of a python that has python-libnmap (PyPI), which is measured beside our parser. Nothing of it ships.
# Ends with 1, and says why, when there is no python with pip or no way to PyPI.
set -euo pipefail
site=${PICKET_STATE_DIR:-/var/tmp/picket-dev}/libnmap
wanted=python-libnmap==0.7.3
for python in $(type -ap python3 || true) /usr/bin/python3; do
  "$python" -m pip --version >/dev/null 2>&1 || continue
  if [[ ! -f $site/$wanted ]]; then
    rm -rf "$site"
    "$python" -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check --no-deps --target "$site" \
      "$wanted" >&2 || exit 1
    touch "$site/$wanted"
  fi
  PYTHONPATH=$site "$python" -c 'import libnmap.parser' || exit 1
  printf '%s\n%s\n' "$python" "$site"
  exit 0
done
echo "there is no python3 with pip" >&2
exit 1
