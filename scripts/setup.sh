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

# need_browser: Debian's Chromium with its driver, for the tests of the report's page; elsewhere (Ubuntu
# has it as a snap alone) they are skipped.
need_browser() {
    command -v chromedriver >/dev/null 2>&1 && return 0
    (need_packages chromium chromium-driver) || say "No browser: the tests of the report's page in one are skipped"
}

# The release of NVIDIA's driver here (580), 0 where there is none. grep reads all: with -q it ends at what it
# finds, ldconfig at the closed pipe, and pipefail makes that a no.
driver_release() {
    local release=''
    if [ -r /proc/driver/nvidia/version ]; then
        release=$(sed -n 's/^NVRM version:.* \([0-9]\{3,\}\)\.[0-9.]* .*/\1/p' /proc/driver/nvidia/version)
    elif [ -e /dev/nvidiactl ] || ldconfig -p 2>/dev/null | grep 'libcuda[.]so[.]1 ' >/dev/null; then
        release=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | sed -n '1s/^\([0-9]*\)[.].*/\1/p')
    fi
    echo "${release:-0}"
}

# need_toolkit: where there is an NVIDIA GPU and no CUDA compiler, scripts/toolkit.txt's wheels in
# .venv. VG_TOOLKIT=pypi: in any case, and the build takes that one; VG_TOOLKIT=none: never. Without
# a toolkit the build has no CUDA devices and says so.
need_toolkit() {
    local least=580 release root nvcc had=.venv/toolkit.txt
    case ${VG_TOOLKIT:-auto} in
        none) return 0 ;;
        auto)
            for nvcc in nvcc /usr/local/cuda/bin/nvcc /opt/cuda/bin/nvcc "${CUDACXX:-nvcc}"; do
                "$nvcc" --version >/dev/null 2>&1 && return 0
            done
            release=$(driver_release)
            [ "$release" -gt 0 ] || return 0
            if [ "$release" -lt "$least" ]; then
                say "No CUDA devices: PyPI's compiler needs NVIDIA's driver $least, here is $release: install" \
                    "a newer driver, or a CUDA 12 toolkit"
                return 0
            fi
            ;;
        pypi) ;;
        *) die "VG_TOOLKIT=$VG_TOOLKIT: expected auto, pypi or none" ;;
    esac
    if ! cmp -s scripts/toolkit.txt "$had"; then
        need_packages python3-venv
        say "Installing a CUDA toolkit from PyPI in .venv (0.6 GB):" \
            "$(sed '/^#/d' scripts/toolkit.txt | tr '\n' ' ')"
        if ! { python3 -m venv .venv && .venv/bin/pip install -q -r scripts/toolkit.txt; } >&2; then
            say "It could not be installed: no CUDA devices"
            return 0
        fi
        for root in .venv/lib/python3*/site-packages/nvidia/cu13; do
            ln -sfn lib "$root/lib64" # where nvcc looks for its runtime
        done
        cp scripts/toolkit.txt "$had"
    fi
    CUDACXX=$(echo "$PWD"/.venv/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
    export CUDACXX
    # CMake does not change the compiler of a folder.
    if [ -f build/CMakeCache.txt ] && ! grep -qF "VG_NVCC:FILEPATH=$CUDACXX" build/CMakeCache.txt; then
        rm -rf build/CMakeCache.txt build/CMakeFiles
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
