"""The scripts in shell that call what is not here, or takes long, with all of that made up for them."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
SETUP = """
say() { printf '%s\\n' "$*" >&2; }
die() { say "$*"; exit 1; }
need_packages() { :; }; need_python() { :; }; need_browser() { :; }
build_packages=()
build_tree() { [ "$1" != "$BROKEN" ] || die "The build of build-$1 failed"; }
"""
CTEST = """#!/bin/sh
for word; do [ "$before" != --output-junit ] || file=$word; before=$word; done
case $file in *"$FAILING"*) status=fail code=8 ;; *) status=run code=0 ;; esac
printf '<testsuite><testcase name="one" status="%s"/></testsuite>' "$status" >"$file"
exit "$code"
"""
NEON = """#!/bin/sh
printf '<testsuite><testcase name="one" status="run"/></testsuite>' >"$1"
"""


class Shell(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vg_shell_")
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.bin = self.top / "bin"

    def program(self, name, text):
        path = self.top / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def call(self, *command, **environment):
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", **environment}
        return subprocess.run(command, cwd=self.top, env=environment, capture_output=True, text=True, check=False)


class Suite(Shell):
    def setUp(self):
        super().setUp()
        (self.top / "scripts").mkdir()
        for name in ("test", "count_tests.py"):
            shutil.copy(SCRIPTS / name, self.top / "scripts")
        self.program("scripts/setup.sh", SETUP)
        self.program("scripts/cuda_headers.sh", "cuda_headers() { return 1; }")
        self.program("scripts/test-neon", NEON)
        self.program("bin/ctest", CTEST)
        self.program("bin/git", "#!/bin/sh\nexit 128")
        for name in ("clang", "clang-format", "shellcheck"):
            self.program(f"bin/{name}", "#!/bin/sh\nexit 1")

    def suite(self, *arguments, broken="none", failing="none"):
        done = self.call("scripts/test", *arguments, BROKEN=broken, FAILING=failing)
        return done.returncode, done.stdout.splitlines()[-1], done.stderr

    def test_every_part_is_counted(self):
        """Unit, asan, tsan and neon run; no checkout, no clang and no headers of CUDA: three are skipped."""
        code, last, said = self.suite()
        self.assertEqual((code, last), (0, "4 passed, 0 failed, 3 skipped"), said)

    def test_a_build_that_fails_ends_its_part_alone(self):
        code, last, said = self.suite(broken="asan")
        self.assertEqual((code, last), (1, "3 passed, 1 failed, 3 skipped"), said)
        self.assertIn("== neon: done", said)

    def test_a_test_that_fails_counts_once(self):
        code, last, said = self.suite(failing="build-tsan")
        self.assertEqual((code, last), (1, "3 passed, 1 failed, 3 skipped"), said)

    def test_one_part(self):
        self.assertEqual(self.suite("--only=asan")[:2], (0, "1 passed, 0 failed, 0 skipped"))
        self.assertEqual(self.suite("--only=asan", broken="asan")[:2], (1, "0 passed, 1 failed, 0 skipped"))
        self.assertEqual(self.suite("--only=cuda")[:2], (1, "0 passed, 0 failed, 1 skipped"))
        self.assertEqual(self.suite("--only=format")[:2], (1, "0 passed, 0 failed, 1 skipped"))


class Count(Shell):
    def count(self, *texts):
        paths = []
        for number, text in enumerate(texts):
            paths.append(self.top / f"{number}.xml")
            paths[-1].write_text(text)
        done = self.call(SCRIPTS / "count_tests.py", *paths)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout.splitlines()[-1]

    def test_nothing_ran(self):
        self.assertEqual(self.count(), (1, "0 passed, 0 failed, 0 skipped"))

    def test_a_file_that_is_cut_off_is_a_failure(self):
        self.assertEqual(self.count("<testsuite><testcase name='one'", ""), (1, "0 passed, 2 failed, 0 skipped"))

    def test_a_program_counts_for_its_tests(self):
        text = ("<testsuite><testcase name='a' status='run'><system-out>[  PASSED  ] 3 test(s).</system-out></testcase>"
                "<testcase name='b' status='fail'/></testsuite>")
        self.assertEqual(self.count(text), (1, "3 passed, 1 failed, 0 skipped"))


class Fleet(Shell):
    def setUp(self):
        super().setUp()
        self.program("bin/bench", "#!/bin/sh\nexit 0")
        self.program("bin/sbatch", '#!/bin/sh\necho "$*" >>jobs; echo 7')
        self.program("bin/scontrol", '#!/bin/sh\necho "$*" >>jobs')
        shutil.copytree(SCRIPTS, self.top / "scripts", ignore=shutil.ignore_patterns("report_page", "__pycache__"))
        self.program("bin/python3", "#!/bin/sh\nexit 0")

    def fleet(self, states):
        lines = "".join(f"echo '{node} {state}'\n" for node, state in states.items())
        self.program("bin/sinfo", f'#!/bin/sh\ncase $* in *"%N %t"*) {lines} ;; *) exit 1 ;; esac')
        return self.call("scripts/fleet.sbatch", "--partition=all", "--out=out", BENCH=f"{self.bin}/bench")

    def test_nodes_that_are_down_are_left_out(self):
        done = self.fleet({"a": "idle", "b": "mix", "c": "alloc", "d": "comp", "e": "idle~", "f": "down", "g": "drain",
                           "h": "drng", "i": "idle*", "j": "down*", "k": "maint"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("measures on 5 nodes (a b c d e)", done.stdout)
        self.assertEqual([line.split()[0] for line in done.stderr.splitlines()], ["f", "g", "h", "i", "j", "k"])
        self.assertIn("--array=0-4 ", (self.top / "jobs").read_text())

    def test_no_node_can_be_used(self):
        for states in ({}, {"a": "drain"}):
            self.assertEqual(self.fleet(states).returncode, 3)
        self.assertFalse((self.top / "jobs").exists())

    def test_a_merge_that_fails_leaves_nothing(self):
        (self.top / "out").mkdir()
        done = self.call("scripts/fleet.sbatch", FLEET_PART="merge", FLEET_OUT=str(self.top / "out"),
                         FLEET_PYTHON="false", FLEET_SCRIPTS=str(SCRIPTS))
        self.assertEqual((done.returncode, list((self.top / "out").iterdir())), (1, []))


class Driver(Shell):
    def test_a_long_list_of_libraries(self):
        """The one that is looked for comes first: what writes the list is not stopped by that."""
        if os.path.exists("/proc/driver/nvidia/version"):
            self.skipTest("an NVIDIA driver is here")
        self.program("bin/ldconfig", "#!/bin/bash\nprintf 'libcuda.so.1 (libc6)\\n'; printf 'lib%d\\n' {1..100000}")
        self.program("bin/nvidia-smi", "#!/bin/sh\necho 580.65.06")
        done = self.call("bash", "-c", f"set -euo pipefail; . {SCRIPTS}/setup.sh; driver_release")
        self.assertEqual(done.stdout, "580\n", done.stderr)


if __name__ == "__main__":
    unittest.main()
