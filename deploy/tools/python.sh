# shellcheck shell=bash
# Tools from PyPI in a root: a tool with a file `python/<tool>.txt` beside this one is what pip installs from that file,
# run by the python3 of the root. Every version is pinned and every file has its hash, and no shell comes into the root.
# Packages without wheels stand in `python/<tool>.source.txt`: they are built, which runs code of theirs as the uid that
# builds the roots, and must turn out to be plain Python.

# The uid that builds the roots may be unable to read the checkout: the files go to where it can.
bring_python_pins() { tar -C "$CHECKOUT/deploy/tools/python" -c . | "${AS[@]}" tar -x -C "$STATE" --no-same-owner --one-top-level=pins; }

# The file of pinned packages of a tool, when it is one of PyPI.
python_pins() { if [ -e "$STATE/pins/$1.txt" ]; then printf '%s' "$STATE/pins/$1.txt"; fi; }

# The names of platforms whose wheels this machine runs, newest first, as arguments of pip.
python_platforms() {
  local machine tag; machine=$(uname -m)
  for tag in manylinux_2_36 manylinux_2_34 manylinux_2_31 manylinux_2_28 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux_2_5 manylinux1 linux; do
    printf -- '--platform %s_%s ' "$tag" "$machine"
  done
}

# install_python TOOL ROOT: packages to where Debian's python looks for them; the wheels fit the root's python, not the
# one that runs pip.
install_python() {
  local tool=$1 root=$2 pins site version log=$STATE/new/pip.log
  pins=$(python_pins "$tool")
  site=$root/usr/lib/python3/dist-packages
  version=$(python_of "$root")
  [ -n "$version" ] || die "the root of $tool has no python3: name it among its packages in deploy/tools/table.sh"
  mkdir -p "$site"
  # shellcheck disable=SC2046 # a list of arguments
  pip_quietly install --require-hashes --only-binary :all: --implementation cp --python-version "$version" \
    --abi "cp${version/./}" --abi abi3 --abi none $(python_platforms) --target "$site" -r "$pins" >"$log" 2>&1 ||
    die "pip cannot install $tool: $(tail -1 "$log")"
  build_python "$tool" "$site"
  rm -rf "${site:?}/bin"
  write_python_program "$tool" "$root"
}

# build_python TOOL SITE: the packages that are published as source alone.
build_python() {
  local tool=$1 site=$2 build=$STATE/new/build wheel log=$STATE/new/pip.log
  [ -e "$STATE/pins/$tool.source.txt" ] || return 0
  rm -rf "$build" "$build.wheels"
  pip_quietly install --require-hashes --only-binary :all: --target "$build" -r "$STATE/pins/setuptools.txt" >"$log" 2>&1 ||
    die "pip cannot install setuptools: $(tail -1 "$log")"
  PYTHONPATH=$build pip_quietly wheel --no-build-isolation --require-hashes --no-binary :all: --wheel-dir "$build.wheels" \
    -r "$STATE/pins/$tool.source.txt" >"$log" 2>&1 || die "pip cannot build $tool: $(tail -1 "$log")"
  for wheel in "$build.wheels"/*.whl; do
    [[ $wheel = *-none-any.whl ]] || die "expected plain Python, got ${wheel##*/}"
  done
  pip_quietly install --no-index --target "$site" "$build.wheels"/*.whl >"$log" 2>&1 || die "pip cannot install $tool: $(tail -1 "$log")"
}

pip_quietly() {
  local command=$1; shift
  local options=(--quiet --no-input --no-cache-dir --disable-pip-version-check --no-deps)
  [ "$command" != install ] || options+=(--no-compile)
  "$STATE/receiver/python" -m pip "$command" "${options[@]}" "$@"
}

# What a console script is, without the paths of the python that ran pip.
write_python_program() {
  local tool=$1 root=$2 entry
  entry=$(grep -hE "^$tool *= *[A-Za-z0-9_.]+:[A-Za-z0-9_]+ *$" "$root"/usr/lib/python3/dist-packages/*.dist-info/entry_points.txt | head -1 | tr -d ' ')
  [ -n "$entry" ] || die "no package of $tool has a program of that name"
  entry=${entry#*=}
  printf '#!/usr/bin/python3 -IB\nimport sys\nfrom %s import %s as main\nsys.argv[0] = "%s"\nsys.exit(main())\n' \
    "${entry%%:*}" "${entry##*:}" "$tool" >"$root/usr/bin/$tool"
  chmod 755 "$root/usr/bin/$tool"
}

# Away with what no tool imports; then everything is compiled, since a root is read-only when the tool runs in it.
finish_python() {
  local root=$1 library log=$STATE/new/compile.log
  for library in "$root"/usr/lib/python3.*; do
    rm -rf "$library"/{test,idlelib,tkinter,turtledemo,ensurepip,lib2to3,pydoc_data,distutils}
  done
  rm -rf "$root"/usr/lib/python3/dist-packages/{pip,setuptools,pkg_resources}
  # Hashes instead of times: the same sources give the same root.
  "$STATE/bin/bwrap" --unshare-all --die-with-parent --clearenv --setenv PATH /usr/bin --setenv LANG C.UTF-8 --bind "$root" / \
    --dev /dev --tmpfs /tmp -- /usr/bin/python3 -I -m compileall -q -f --invalidation-mode unchecked-hash \
    /usr/lib/python3 "/usr/lib/python$(python_of "$root")" >"$log" 2>&1 || die "python does not compile: $(head -1 "$log")"
}

# The version of the root's python, e.g. 3.11.
python_of() { find "$1/usr/lib" -maxdepth 1 -name 'python3.*' -printf '%f\n' | sed 's/^python//' | sort -V | tail -1; }

# The version of the package that the tool's program comes from.
python_version() {
  local tool=$1 root=$2 package
  package=$(grep -lE "^$tool *=" "$root"/usr/lib/python3/dist-packages/*.dist-info/entry_points.txt | head -1)
  sed -n 's/^Version: *//p' "${package%/*}/METADATA" | head -1
}
