# docker build -t vgbench . && docker run --rm -v "$PWD/results:/results" vgbench --depth=64 --out=/results/run
# For NVIDIA GPUs (docker run --gpus all ...) both images are given, of the same CUDA release:
#   docker build --build-arg BUILD=nvidia/cuda:13.0.1-cudnn-devel-ubuntu24.04 \
#                --build-arg RUN=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 -t vgbench .
ARG BUILD=debian:12
ARG RUN=debian:12

FROM ${BUILD} AS build
WORKDIR /src
COPY . .
RUN bash -c '. scripts/setup.sh && need_packages "${build_packages[@]}" dpkg-dev file git' \
    && cmake --preset release -DVG_TESTS=OFF && cmake --build build \
    && cpack --config build/CPackConfig.cmake -B /packages

FROM ${RUN}
COPY --from=build /packages/vgbench_*.deb /packages/
RUN apt-get update && apt-get install -y --no-install-recommends /packages/vgbench_*.deb \
    && rm -rf /packages /var/lib/apt/lists/*
WORKDIR /results
ENTRYPOINT ["bench"]
