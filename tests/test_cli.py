#!/usr/bin/env python3
"""What the program answers before it measures anything: texts, streams and exit codes.
Usage: test_cli.py PROGRAM [unittest's own arguments]"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""


def run(*arguments, **options):
    with tempfile.TemporaryDirectory(prefix="vg_cli_") as folder:
        done = subprocess.run([PROGRAM, *arguments], text=True, timeout=120, cwd=folder,
                              stderr=subprocess.PIPE, check=False,
                              **{"stdout": subprocess.PIPE, **options})
        return done, os.listdir(folder)


class Cli(unittest.TestCase):
    def test_texts_go_to_stdout_and_leave_nothing(self):
        for argument, part in (("--help", "Examples\n"), ("--version", "devices: "),
                               ("--list", "Models (--model)\n"),
                               ("--dry-run", "stack-tanh/d8/w256/b32/fp32/xavier/seed1")):
            done, left = run(argument)
            self.assertEqual((done.returncode, done.stderr, left), (0, "", []), argument)
            self.assertIn(part, done.stdout)

    def test_the_list_says_by_what_a_processor_computes_in_bf16(self):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            if "avx512_bf16" not in file.read():
                self.skipTest("the processor has no AVX512_BF16")
        done, _ = run("--list")
        self.assertRegex(done.stdout, r"\n  cpu\.avx512 .*\n {16}bf16 by .*vdpbf16ps")

    def test_version_says_what_it_was_built_with(self):
        text = run("--version")[0].stdout
        self.assertRegex(text, r"\Abench \d+\.\d+\.\d+")
        self.assertRegex(text, r"(?m)^compiler: \w+ \d+\.\d+\.\d+ for \w+, .*-ffp-contract=off")
        self.assertRegex(text, r"(?m)^libraries: hwloc \d[\d.]+, Google Benchmark \d[\d.]+, jansson \d[\d.]+$")
        families = set(re.search(r"(?m)^devices: (.*)$", text)[1].split())
        for family, part in (("cpu.onednn", "oneDNN"), ("cuda", "nvcc"), ("cuda.cudnn", "cuDNN")):
            if "emulated GPU" not in text and family in families:
                self.assertRegex(text, rf"(?m)^devices' parts: .*{part} \d[\d.]+")

    def test_refusals_are_one_line_on_stderr(self):
        for arguments, code, line in (
                (["--width=0"], 2, "bench: --width=0: expected 1..65536\n"),
                (["--widht=1"], 2, "bench: --widht: no such option; did you mean --width?\n"),
                (["--model=stack", "--seq-len=3"], 2,
                 "bench: --seq-len: no case of this plan uses it; it is for recurrent models\n"),
                (["--width=1:65536:+1"], 2,
                 "bench: the plan has more than 10000 cases; --yes runs them\n"),
                (["--device=nul"], 3,
                 "bench: --device=nul: no such device; see --list; did you mean 'null'?\n"),
                (["--dry-run", "--device=cpu.avx1024"], 3, None),
                (["--dry-run", "--device=null", "--device-option=null.fial=1"], 2, None)):
            done, left = run(*arguments)
            self.assertEqual((done.returncode, done.stdout, left), (code, "", []), arguments)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            if line:
                self.assertEqual(done.stderr, line)

    def test_a_full_disk_is_told(self):
        for argument in ("--help", "--version", "--list", "--dry-run"):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done, _ = run(argument, stdout=full)
            self.assertEqual(done.returncode, 4, argument)

    def test_presets_plan(self):
        for preset in ("quick", "depth", "remedies", "golden", "denormals"):
            done, _ = run("--dry-run", "--device=null", f"--preset={preset}")
            self.assertEqual((done.returncode, done.stderr), (0, ""), preset)
            self.assertIn(" cases on 1 device: null\n", done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
