#!/usr/bin/env bash
# make fuzz: every target for FUZZ_SECONDS (60), from the seeds of the corpus and of our own samples. FUZZ_TOOLS names some
# of them. Works without cargo-fuzz: the flags are those that it passes, without the address sanitizer, since the parsers
# hold no unsafe code. Ends with 1 when a target crashed; the input lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"
state=${PICKET_STATE_DIR:-/var/tmp/picket-dev}/fuzz
seconds=${FUZZ_SECONDS:-60}
corpus=../../shared/corpus
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$state/target} RUSTC_BOOTSTRAP=1
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags="$flags -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags="$flags -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="$flags" cargo build --release --bins --target "$host" ${FUZZ_CARGO_FLAGS:-}

# seeds_of TOOL FOLDER: small files that the tool wrote.
seeds_of() {
  local tool=$1 into=$2 source
  mkdir -p "$into"
  for source in "$corpus/${tool}" "../crates/scanners/testdata/${tool//_/-}" "../crates/scanners/testdata/${tool}"; do
    [[ -d $source ]] || continue
    find "$source" -type f -size -64k | while read -r file; do
      cp -- "$file" "$into/$(basename "$file")"
    done
    # Of larger ones the beginning: what they look like is there.
    find "$source" -type f -size +63k | while read -r file; do
      head -c 32768 -- "$file" >"$into/$(basename "$file").head"
    done
  done
}

failed=0
for target in ${FUZZ_TOOLS:-fuzz_targets/*.rs}; do
  name=$(basename "$target" .rs)
  seeds_of "$name" "$state/corpus/$name"
  mkdir -p "artifacts/$name"
  log=$state/$name.log
  if "$CARGO_TARGET_DIR/$host/release/$name" -max_total_time="$seconds" -rss_limit_mb=512 -max_len=65536 -timeout=10 \
      -print_final_stats=1 -artifact_prefix="artifacts/$name/" "$state/corpus/$name" >"$log" 2>&1; then
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    printf '%-12s %10s executions in %s s, peak %s MiB\n' "$name" "$executions" "$seconds" "$peak"
  else
    printf '%-12s CRASHED: %s\n' "$name" "$(grep -m1 -E 'there is no format of|panicked at|ERROR:' "$log" || true)"
    failed=1
  fi
done
exit "$failed"
