#!/usr/bin/env python3
"""The program on a machine without a usable GPU: CUDA is answered by its reason, and nothing else
notices. Skipped where there is a GPU. Usage: test_no_gpu.py PROGRAM [unittest's own arguments]"""

import re
import shutil
import subprocess
import sys

from run_program import PROGRAM, QUICK, TINY, Run, main, rows_of


def listed():
    """The row of --list about CUDA, its name left out."""
    said = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True).stdout
    (row,) = re.findall(r"^  cuda(?::0)? +(.*)$", said, re.MULTILINE)
    return row


class NoGpu(Run):
    def test_list_says_why(self):
        self.assertRegex(listed(), "^not here: .{20,}")

    def test_a_named_gpu_ends_the_run(self):
        reason = listed()
        for name in ("cuda", "cuda:0", "cuda:1"):
            done = self.bench(f"--device={name}", "--depth=64", code=3)
            self.assertEqual(done.stderr, f"bench: --device={name}: {reason}\n")
            self.assertEqual(done.stdout, "")

    def test_a_glob_is_noted(self):
        done = self.bench(*TINY, *QUICK, "--device=null,cuda:*")
        self.assertIn("bench: --device=cuda:*: matches no device that is here\n", done.stderr)

    def test_auto_takes_the_cpu(self):
        self.bench(*TINY, *QUICK)
        devices = {row["device"] for row in rows_of(self.out, "results.csv")}
        self.assertEqual(len(devices), 1)
        self.assertRegex(devices.pop(), "^cpu[.]")

    def test_no_library_of_cuda_is_loaded_at_the_start(self):
        if not shutil.which("ldd"):
            self.skipTest("there is no ldd")
        loaded = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True, check=False).stdout
        self.assertNotRegex(loaded, "cuda|cublas|cudnn|nvidia")


if __name__ == "__main__":
    if PROGRAM and not listed().startswith("not here: "):
        print(f"skipped: there is a GPU: {listed()}")
        sys.exit(77)
    main()
