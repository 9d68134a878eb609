#!/usr/bin/env bash
# Prints a python and a folder with Celery (PyPI, pinned by hash in celery.txt), which is measured beside our queue. Nothing
# of it ships. Ends with 1, and says why, when there is no python with pip or no way to PyPI.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
site=${PICKET_STATE_DIR:-/var/tmp/picket-dev}/celery
for python in $(type -ap python3 || true) /usr/bin/python3; do
  "$python" -m pip --version >/dev/null 2>&1 || continue
  if ! cmp -s "$here/celery.txt" "$site/celery.txt"; then
    rm -rf "$site"
    "$python" -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
      --only-binary :all: --target "$site" -r "$here/celery.txt" >&2 || exit 1
    cp "$here/celery.txt" "$site/celery.txt"
  fi
  PYTHONPATH=$site "$python" -c 'import celery' || exit 1
  printf '%s\n%s\n' "$python" "$site"
  exit 0
done
echo "there is no python3 with pip" >&2
exit 1
