"""scripts/track.py from end to end, in a small repository whose bench is the real one on the device
that computes nothing, its times made longer as a commit says. Exits 77 where packages are missing.
Usage: test_track.py PROGRAM [unittest's own arguments]"""
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import made_results  # noqa: F401 (ends the test where the packages are missing)
from run_program import PROGRAM, main

ROOT = pathlib.Path(__file__).resolve().parent.parent
SLOW_CASE, OTHER = "stack-tanh/d2/w8/b2/fp32/xavier/seed1", "stack-relu/d2/w8/b2/fp32/he/seed1"
PRESET = f"# two cases\n--device=null\n--pass=train\n--repetitions=1\n--min-time=0\n--warmup=0\n--case={SLOW_CASE}\n--case={OTHER}\n"

# Runs the program, then gives each process a noise of its own, up to 1 %, and one case its factor.
BENCH = f'''#!{sys.executable}
import csv, os, pathlib, random, subprocess, sys
out = pathlib.Path(next(a for a in sys.argv if a.startswith("--out="))[6:])
log = os.environ.get("TRACK_LOG")
done = pathlib.Path(log).read_text().count("\\n") if log and os.path.exists(log) else 0
if os.environ.get("TRACK_FAIL_AT") == str(done):
    sys.exit("out of order")
code = subprocess.run([os.environ["TRACK_PROGRAM"], *sys.argv[1:]]).returncode
if log and "probe" not in out.name:
    with open(log, "a") as file:
        file.write(f"{{out.parent.parent.name}} {{out.parent.name}} {{out.stem}} "
                   f"{{sum(a.startswith('--case=') for a in sys.argv)}}\\n")
noise = 1 + 0.01 * random.Random(f"{{out.parent.name}} {{out.stem}}").random()
for name in ("results.csv", "gradients.csv"):
    with open(out / name, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if name == "results.csv":
            slow = FACTOR if row["case"] == "{SLOW_CASE}" and (out.parent.parent.name == "first" or LASTING) else 1
            row.update(verified="full", time_s=float(row["time_s"] or 0) * noise * slow)
        elif GRADIENT:
            row["log10_norm_exact"] = float(row["log10_norm_exact"] or row["log10_norm"]) + GRADIENT
    with open(out / name, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\\n")
        writer.writeheader()
        writer.writerows(rows)
sys.exit(code)
'''


class Track(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.repo, self.work, self.log = self.top / "repo", self.top / "work", self.top / "log"
        (self.repo / "bench" / "presets").mkdir(parents=True)
        (self.repo / "scripts").mkdir()
        for path in ROOT.glob("scripts/*.py"):
            shutil.copy(path, self.repo / "scripts")
        (self.repo / "bench" / "presets" / "track.txt").write_text(PRESET)
        self.git("init", "-q", "-b", "main")
        self.commit("base")

    def git(self, *arguments):
        return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments],
                              cwd=self.repo, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name, factor=1.0, lasting=True, gradient=0.0, build="mkdir -p build && cp fast build/bench"):
        """A commit of this name, whose bench takes so many times as long."""
        constants = f"FACTOR, LASTING, GRADIENT = {factor}, {lasting}, {gradient}\n"
        first, _, rest = BENCH.partition("\n")
        (self.repo / "fast").write_text(f"{first}\n{constants}{rest}# {name}\n")
        (self.repo / "fast").chmod(0o755)
        (self.repo / "make.sh").write_text(build + "\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", name)
        self.git("tag", name)

    def track(self, *arguments, code=0, processes=8, **environment):
        command = [sys.executable, "scripts/track.py", f"--work={self.work}", "--build=sh make.sh"]
        command += [f"--processes={processes}"] if processes is not None else []
        command += arguments
        done = subprocess.run(command, cwd=self.repo, capture_output=True, text=True, check=False, timeout=300,
                              env={**os.environ, "TRACK_PROGRAM": PROGRAM, "TRACK_LOG": str(self.log), **environment})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done

    def runs(self):
        return [tuple(line.split()) for line in self.log.read_text().splitlines()]

    def verdicts(self):
        (told,) = self.work.glob("runs/*/comparison.json")
        return {row["case"]: row["verdict"] for row in json.loads(told.read_text())["measurements"]}

    def test_an_equal_head(self):
        self.commit("head")
        summary = self.top / "summary"
        self.track("base", "head", GITHUB_STEP_SUMMARY=str(summary))
        self.assertEqual(set(self.verdicts().values()), {"same"})
        self.assertTrue(summary.read_text().startswith("### No regression"))
        sides = [side for _, side, _, _ in self.runs()]
        self.assertEqual(sides, ["base", "head", "head", "base"] * 4)

    def test_a_slower_head(self):
        self.commit("head", 1.1)
        done = self.track("base", "head", code=1)
        self.assertEqual(self.verdicts(), {SLOW_CASE: "slower", OTHER: "same"})
        self.assertIn("1 slower, 1 same: a regression.", done.stdout)
        again = [run for run in self.runs() if run[0] != "first"]
        self.assertEqual({cases for *_, cases in again}, {"1"})  # the flagged case alone
        self.assertEqual(len(again), 16)
        self.track("head", "base")  # and faster is none

    def test_what_is_not_confirmed(self):
        self.commit("head", 1.1, lasting=False)
        done = self.track("base", "head")
        self.assertEqual(self.verdicts()[SLOW_CASE], "cannot tell")
        self.assertIn("did not confirm", done.stdout)

    def test_another_gradient(self):
        self.commit("head", gradient=0.3)
        done = self.track("base", "head", code=1)
        self.assertIn("beyond their tolerance", done.stdout)

    def test_the_same_command_continues(self):
        self.commit("head")
        done = self.track("base", "head", code=3, TRACK_FAIL_AT="5")
        self.assertEqual(done.stderr.splitlines()[-1].partition("bench ended")[2], " with 1: out of order")
        self.assertEqual(len(self.runs()), 5)
        self.track("base", "head", processes=4)
        self.track("base", "head")
        self.assertEqual(len(self.runs()), 16)
        self.assertEqual(len(set(self.runs())), 16)
        self.track("base", "head", processes=0)
        self.assertEqual(len(self.runs()), 16)

    def test_a_signal_loses_nothing(self):
        self.commit("head")
        command = [sys.executable, "scripts/track.py", "base", "head", f"--work={self.work}", "--build=sh make.sh",
                   "--processes=8"]
        environment = {**os.environ, "TRACK_PROGRAM": PROGRAM, "TRACK_LOG": str(self.log)}
        with subprocess.Popen(command, cwd=self.repo, env=environment, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                if "process 3 of 8" in line:
                    process.terminate()
                    break
            self.assertIn("the same command continues", process.stderr.read())
        self.assertEqual(process.returncode, 143)
        whole = len(list(self.work.glob("runs/*/first/*/[0-9][0-9][0-9]")))
        self.assertTrue(4 <= whole <= 6, whole)
        self.track("base", "head")
        self.assertEqual(len(list(self.work.glob("runs/*/first/*/*"))), 16)

    def test_a_folder_of_somebody_else_stays(self):
        (self.work / "base").mkdir(parents=True)
        (self.work / "base" / "thesis").touch()
        self.assertIn("is no worktree", self.track("base", code=2).stderr)
        self.assertTrue((self.work / "base" / "thesis").exists())

    def test_a_side_that_does_not_build(self):
        self.commit("head", build="echo no compiler; exit 1")
        done = self.track("base", "head", code=3)
        last = done.stderr.splitlines()[-1]
        self.assertRegex(last, "^track: head .* does not build: its log is .*head-build.log$")
        self.assertIn("no compiler", pathlib.Path(last.split()[-1]).read_text())
        self.assertFalse(self.log.exists())

    def test_usage(self):
        for arguments in (["nowhere"], ["base", "--processes=x"], ["base", "--preset=nowhere"], []):
            self.track(*arguments, code=2, processes=None)
        self.work.mkdir(exist_ok=True)
        with open(self.work / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("in use", self.track("base", code=3).stderr)

    def test_options_of_bench_and_one_case(self):
        self.track("base", f"--case={OTHER}", "--", "--pass=fwd", processes=1)
        (told,) = self.work.glob("runs/*/comparison.json")
        self.assertEqual([(row["case"], row["pass"]) for row in json.loads(told.read_text())["measurements"]],
                         [(OTHER, "fwd")])

    def test_options_of_bench_that_make_the_cases(self):
        """What was flagged runs again by its name, which says all that those options said."""
        self.commit("head", 1.1)
        sweep = ["--device=null", "--activation=tanh,relu", "--depth", "2", "--width=8", "--batch=2", "--pass=train"]
        (self.repo / "how.txt").write_text("--repetitions=1\n--min-time=0\n--warmup=0\n")
        self.track("base", "head", "--preset=how.txt", "--", *sweep, code=1)
        self.assertEqual(self.verdicts(), {SLOW_CASE: "slower", OTHER: "same"})

    def test_what_is_known_to_be_wrong_is_said_before_a_run(self):
        self.assertIn("--floor", self.track("base", "--floor=much", code=2).stderr)
        self.assertFalse(self.log.exists())

    def test_a_build_that_is_stopped_stops_whole(self):
        self.commit("head", build="(while :; do date >alive; sleep 0.1; done) & touch started; wait")
        command = [sys.executable, "scripts/track.py", "head", "base", f"--work={self.work}", "--build=sh make.sh"]
        with subprocess.Popen(command, cwd=self.repo, stderr=subprocess.PIPE, text=True) as process:
            while not (self.work / "base" / "alive").exists():
                time.sleep(0.05)
            process.terminate()
            process.stderr.read()
        self.assertEqual(process.returncode, 143)
        before = (self.work / "base" / "alive").stat().st_mtime_ns
        time.sleep(0.5)
        self.assertEqual((self.work / "base" / "alive").stat().st_mtime_ns, before)

    def history_of(self, where):
        self.commit("head")
        for _ in range(2):  # the second finds everything there
            self.track("base", "head", f"--history={where}")
        self.commit("later", 1.1)

    def test_a_history_is_a_baseline(self):
        history = self.top / "history"
        self.history_of(history)
        self.assertEqual(len(list(history.glob("*/*/results.csv"))), 1)
        self.track("head", "later", f"--history={history}", code=1)
        entries = sorted(history.glob("*/*/"))
        self.assertEqual(len(entries), 2)
        compare = [sys.executable, ROOT / "scripts" / "compare.py"]
        later = next(entry for entry in entries if entry.name.endswith(self.git("rev-parse", "later")[:12]))
        for source, code in ((history, 0), (next(e for e in entries if e != later), 1)):
            done = subprocess.run([*compare, source, later], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)

    def test_a_history_in_a_branch(self):
        self.history_of("branch:history")
        files = self.git("ls-tree", "-r", "--name-only", "history").splitlines()
        self.assertEqual(sorted({name.split("/")[-1] for name in files}),
                         ["comparison.json", "decay.csv", "env.json", "gradients.csv", "results.csv", "summary.md"])
        self.assertEqual(len(files), 6)
        self.assertEqual(self.git("rev-list", "--count", "history"), "2")
        self.assertEqual(self.git("worktree", "list").count("history"), 0)

    def test_the_noise_floor_is_kept_and_used(self):
        history = self.top / "history"
        done = self.track("base", "--aa", f"--history={history}")
        self.assertIn("A/A floor:", done.stdout)
        (path,) = history.glob("*/floor.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "aa_floor": 0.2}))
        self.commit("head", 1.1)
        self.track("base", "head", f"--history={history}")
        self.track("base", "head", f"--history={history}", "--floor=4", code=1)


if __name__ == "__main__":
    main()
