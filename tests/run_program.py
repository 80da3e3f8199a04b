"""What the tests of whole runs share: folders, rows of the files, the program started and awaited.
A test's own usage: test_....py PROGRAM [unittest's own arguments]"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""
KEY = ("case", "device", "pass", "threads", "bind", "denormals", "process", "repetition")
FILES = ("gradients.csv", "decay.csv", "results.csv")
QUICK = ["--min-time=0", "--warmup=0", "--repetitions=2"]
TINY = ["--activation=tanh", "--depth=3", "--width=8", "--batch=2"]
SMALL = ["--device=null"] + TINY + QUICK


def text_of(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def rows_of(folder, name):
    with open(os.path.join(folder, name), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def keys_of(folder):
    return [tuple(row[name] for name in KEY) for row in rows_of(folder, "results.csv")]


def gradients_of(folder, name="gradients.csv"):
    return sorted(tuple(v for k, v in row.items() if k != "run_id")
                  for row in rows_of(folder, name))


class Run(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="vg_run_")
        self.out = os.path.join(self.top, "out")

    def tearDown(self):
        shutil.rmtree(self.top)

    def bench(self, *arguments, code=0, out=True, **options):
        command = [PROGRAM, *arguments] + ([f"--out={self.out}"] if out else [])
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=self.top,
                              check=False, **options)
        self.assertEqual(done.returncode, code, f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *arguments):
        return subprocess.Popen([PROGRAM, *arguments, f"--out={self.out}"], cwd=self.top,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_for_rows(self, process, count):
        """Until results.csv has so many lines; false where the run ended before."""
        path = os.path.join(self.out, "results.csv")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if os.path.exists(path):
                with open(path, "rb") as file:
                    if file.read().count(b"\n") > count:
                        return True
            if process.poll() is not None:
                return False
            time.sleep(0.002)
        self.fail("no rows within a minute")


def main():
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"usage: {sys.argv[0]} PROGRAM")
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
