# shellcheck shell=bash disable=SC2034
# Sourced by the scripts beside it: brings in what is missing, and says so before it does.

say() { printf '%s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages PACKAGE...: installs the Debian packages that are not there yet.
need_packages() {
    local missing=() package
    command -v dpkg-query >/dev/null 2>&1 ||
        die "This script installs Debian or Ubuntu packages; elsewhere install the like of: $*"
    for package in "$@"; do
        case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
            "install ok installed") ;;
            *) missing+=("$package") ;;
        esac
    done
    [ "${#missing[@]}" -eq 0 ] && return 0
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null 2>&1 ||
        die "Missing: ${missing[*]}. Install them as root, or install sudo."
    say "Installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null || die "apt-get could not install: ${missing[*]}"
}

build_packages=(gcc g++ libc6-dev cmake ninja-build pkg-config libhwloc-dev libjansson-dev
    libbenchmark-dev libdnnl-dev)

# need_python: what scripts/requirements.txt names, in .venv beside scripts/; without a registry the
# scripts that need it do not run.
need_python() {
    local had=.venv/requirements.txt
    cmp -s scripts/requirements.txt "$had" && return 0
    need_packages python3-venv
    say "Installing Python packages in .venv: $(tr '\n' ' ' <scripts/requirements.txt)"
    if python3 -m venv .venv && .venv/bin/pip install -q -r scripts/requirements.txt; then
        cp scripts/requirements.txt "$had"
    else
        say "They could not be installed: what needs them is skipped"
    fi
}

# build_tree PRESET [TARGET...]: configures, builds what changed, and shows a log only if that fails.
build_tree() {
    local preset=$1 folder log
    shift
    case $preset in release) folder=build ;; *) folder=build-$preset ;; esac
    mkdir -p "$folder"
    log=$folder/build.log
    [ -f "$folder/build.ninja" ] || say "Building $folder (once; later only what changed)"
    if ! { cmake --preset "$preset" && cmake --build "$folder" -- "$@"; } >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        die "The build of $folder failed; its log is $folder/build.log"
    fi
}
