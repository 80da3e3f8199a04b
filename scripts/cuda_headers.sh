# shellcheck shell=bash
# Sourced by the scripts beside it, after setup.sh: the headers that the emulated GPU's build needs,
# of CUDA's runtime, cuBLASLt and cuDNN.

# In this order: the runtime's, those that it includes, half precision's (cuda_fp16.h includes
# nv/target), the libraries'. Of one release, since the libraries include the runtime's.
cuda_header_wheels=(nvidia-cuda-runtime==13.0.96 nvidia-cuda-crt==13.0.88
    nvidia-cuda-cccl==13.0.85 nvidia-cublas==13.1.0.3 nvidia-cudnn-cu13==9.19.0.56)

# cuda_headers_in FOLDER: whether all of them are there.
cuda_headers_in() {
    local header
    for header in cuda_runtime_api.h crt/host_defines.h nv/target cublasLt.h cudnn.h; do
        [ -f "$1/$header" ] || return 1
    done
}

# unpack_headers WHEEL FOLDER: what lies under an include/ of the wheel, without what only nvcc reads.
unpack_headers() {
    python3 - "$1" "$2" <<'END'
import pathlib, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        before, found, inside = name.partition("/include/")
        if found and inside and not inside.startswith(("cccl/", "thrust/", "cub/", "cuda/")):
            to = pathlib.Path(sys.argv[2], inside)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(wheel.read(name))
END
}

# cuda_headers: prints the folder where they are: a toolkit's ($CUDA_HOME, else where toolkits are
# installed), else .venv/cuda-include, filled from PyPI's wheels at the first use. Fails, having said
# why, where neither can be had.
cuda_headers() {
    local toolkit own=$PWD/.venv/cuda-include new wheel
    for toolkit in ${CUDA_HOME:-/usr/local/cuda /opt/cuda}; do
        if cuda_headers_in "$toolkit/include"; then
            printf '%s\n' "$toolkit/include"
            return 0
        fi
    done
    if ! cuda_headers_in "$own"; then
        need_packages python3-venv
        say "No CUDA toolkit: taking its headers from PyPI (five packages of 800 MB in all, once)"
        [ -x .venv/bin/pip ] || python3 -m venv .venv || return 1
        new=$(mktemp -d .venv/cuda-include.XXXXXX) || return 1
        for wheel in "${cuda_header_wheels[@]}"; do
            if ! { .venv/bin/pip download -q --no-deps -d "$new/wheels" "$wheel" >&2 &&
                unpack_headers "$new"/wheels/*.whl "$new/include"; }; then
                say "$wheel could not be had: no emulated GPU"
                rm -rf "$new"
                return 1
            fi
            rm -rf "$new/wheels"
        done
        rm -rf "$own"
        mv "$new/include" "$own" && rm -rf "$new"
    fi
    printf '%s\n' "$own"
}
