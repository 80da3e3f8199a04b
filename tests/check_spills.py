#!/usr/bin/env python3
"""Prints how many registers each kernel takes on some architectures. Fails where one spills registers or
has a stack frame: what a thread keeps in local memory is a hundred times slower to reach, and nothing
else would tell. Of the architectures that the build is for, what its compiler said is read
(cuda/cmake/kept_resources.sh); for others the kernels are compiled here.

  check_spills.py --nvcc=PATH --arch=80,90,121 [--built="sm_80 sm_90" --objects=FOLDER]
                  --include=FOLDER... FILE.cu...
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

SKIPPED = 77


def compiled(nvcc, arch, includes, source, folder):
    """What ptxas says of a file's kernels."""
    cubin = os.path.join(folder, f"{os.path.basename(source)}.{arch}.cubin")
    command = [nvcc, "-std=c++17", "-O3", "-fmad=false", "-cubin", f"-arch=sm_{arch}", "-Xptxas=-v",
               *[f"-I{i}" for i in includes], "-o", cubin, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{os.path.basename(source)} for sm_{arch}:\n{done.stderr}")
    return done.stderr


def kernels(said, arch):
    """Of what ptxas says the kernels for an architecture: [(mangled name, registers, stack, spilled bytes)]."""
    rows = []
    entry = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
    frame = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
    registers = re.compile(r"Used (\d+) registers")
    name, stack, spilled = None, 0, 0
    for line in said.splitlines():
        if m := entry.search(line):
            name = m[1] if m[2] == arch else None
        elif m := frame.search(line):
            stack, spilled = int(m[1]), int(m[2]) + int(m[3])
        elif (m := registers.search(line)) and name:
            rows.append((name, int(m[1]), stack, spilled))
            name, stack, spilled = None, 0, 0
    return rows


def said_of(asked, arch, source, folder):
    """What ptxas said of a file's kernels when they were built for an architecture, or says of them now."""
    if f"sm_{arch}" not in asked.built.split():
        return compiled(asked.nvcc, arch, asked.include, source, folder)
    try:
        with open(os.path.join(asked.objects, f"{os.path.basename(source)}.o.ptxas"), encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise RuntimeError(f"{error}: build it again") from error


def readable(names):
    """The kernels' names and template arguments without their parameters."""
    try:
        said = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                              check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        said = names
    shorter = [re.sub(r"^void ", "", re.sub(r"\([^()]*\)$", "", s)) for s in said]
    return dict(zip(names, shorter))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--arch", default="")
    parser.add_argument("--built", default="", help="the architectures that the build is for")
    parser.add_argument("--objects", default="", help="where its object files are")
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--reason", default="there is no nvcc", help="why there is no nvcc")
    parser.add_argument("sources", nargs="*")
    asked = parser.parse_args()
    if not asked.nvcc:
        print(f"skipped: {asked.reason}")
        return SKIPPED
    archs = asked.arch.split(",")
    found, failed = {}, []
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        work = {pool.submit(said_of, asked, arch, source, folder): (os.path.basename(source), arch)
                for source in asked.sources for arch in archs}
        for job, (source, arch) in work.items():
            try:
                rows = kernels(job.result(), arch)
            except RuntimeError as error:
                failed.append(str(error))
                continue
            for name, registers, stack, spilled in rows:
                found.setdefault((source, name), {})[arch] = (registers, stack, spilled)
    names = readable([name for _, name in found])
    print("registers of a thread" + "".join(f"  sm_{arch}" for arch in archs) + "  kernel")
    for (source, name), by in sorted(found.items(), key=lambda row: (row[0][0], names[row[0][1]])):
        cells = []
        for arch in archs:
            registers, stack, spilled = by.get(arch, (0, 0, 0))
            cells.append(f"{registers or '-':>{len(arch) + 5}}")
            if stack or spilled:
                failed.append(f"{source}: {names[name]} for sm_{arch}: a stack frame of {stack} bytes, "
                              f"{spilled} bytes of spills")
        print(" " * 21 + "".join(cells) + f"  {names[name]}  ({source})")
    for line in failed:
        print(line, file=sys.stderr)
    if not found:
        print("no kernel was found", file=sys.stderr)
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
