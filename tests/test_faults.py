#!/usr/bin/env python3
"""What a kill, a signal, a full disk or a failing device leaves behind, and its exit code.
Usage: test_faults.py PROGRAM [unittest's own arguments]; VG_SLOW=1: many more kills."""

import contextlib
import csv
import fcntl
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

from run_program import FILES, PROGRAM, SMALL, Run, gradients_of, keys_of, main, rows_of


SIGNALS = ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129))
KILLS = 240 if os.environ.get("VG_SLOW", "") == "1" else 12


class Failures(Run):
    def test_each_becomes_its_status(self):
        table = (("unsupported", "unsupported", 0), ("memory", "no_memory", 1),
                 ("lost", "device_lost", 1), ("crash", "crashed", 1), ("killed", "no_memory", 1),
                 ("exit", "crashed", 1), ("hang", "timeout", 1))
        for fail, status, code in table:
            for at in ("run", "load"):
                with self.subTest(fail=fail, at=at):
                    shutil.rmtree(self.out, ignore_errors=True)
                    options = [f"--device-option=null.{o}"
                               for o in (f"fail={fail}", f"at={at}", "seed=1")]
                    self.bench(*SMALL, "--seed=3,1,2", "--timeout=3", *options, code=code)
                    rows = rows_of(self.out, "results.csv")
                    bad = [r for r in rows if r["case"].endswith("seed1")]
                    self.assertEqual([r["case"][-5:] for r in rows],
                                     ["seed3"] * 6 + ["seed1"] * 3 + ["seed2"] * 6)
                    self.assertEqual([(r["pass"], r["status"], r["repetition"], r["time_s"])
                                      for r in bad],
                                     [(p, status, "", "") for p in ("fwd", "bwd", "train")])
                    self.assertTrue(all(r["reason"] for r in bad))
                    self.assertEqual("not done within --timeout=3s" in {r["reason"] for r in bad},
                                     fail == "hang")
                    self.assertEqual({r["status"] for r in rows if r not in bad}, {"ok"})
                    self.assertEqual({r["case"][-5:] for r in rows_of(self.out, "decay.csv")},
                                     {"seed2", "seed3"})

    def test_a_crash_names_its_signal(self):
        self.bench(*SMALL, "--device-option=null.fail=crash", code=1)
        self.assertEqual({r["reason"] for r in rows_of(self.out, "results.csv")}, {"SIGABRT"})

    def test_nothing_ok_is_a_failure(self):
        self.bench(*SMALL, "--device-option=null.fail=unsupported", code=1)

    def test_a_device_that_cannot_be_opened(self):
        self.bench(*SMALL, "--device-option=null.fail=lost", "--device-option=null.at=open", code=1)
        rows = rows_of(self.out, "results.csv")
        self.assertEqual([(r["status"], r["threads"]) for r in rows], [("device_lost", "")] * 3)
        self.bench(*SMALL, "--device-option=null.fail=lost", "--device-option=null.at=open",
                   "--resume")
        self.assertEqual(len(rows_of(self.out, "results.csv")), 3)

    def test_check(self):
        done = self.bench("--check", "--device=ref,null", "--depth=2", "--width=8", out=False)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertTrue(all(line.startswith("ok ") for line in lines), lines)
        self.assertIn("full", lines[0])
        done = self.bench("--check", "--device=null", "--device-option=null.fail=crash", "--depth=2",
                          out=False, code=1)
        self.assertTrue(done.stdout.startswith("crashed null stack-"), done.stdout)
        self.assertEqual(os.listdir(self.top), [])

    def test_a_device_that_is_not_there(self):
        self.bench("--device=null:7", code=3)
        self.assertFalse(os.path.exists(self.out))

    def test_the_workers_door_is_closed(self):
        self.bench("--vgbench-worker", "1", out=False, code=2)


class Disk(Run):
    def test_results_that_are_there_stay(self):
        self.bench(*SMALL)
        before = keys_of(self.out)
        self.bench(*SMALL, code=2)
        self.assertEqual(keys_of(self.out), before)

    def test_a_folder_that_cannot_be(self):
        with open(os.path.join(self.top, "file"), "w", encoding="utf-8"):
            pass
        self.bench(*SMALL, f"--out={self.top}/file/out", out=False, code=4)

    def test_a_locked_folder(self):
        os.mkdir(self.out)
        lock = os.open(self.out, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.bench(*SMALL, code=4)
        os.close(lock)
        self.bench(*SMALL)

    def test_a_full_disk(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))

        done = self.bench(*SMALL, "--seed=1:40:+1", code=4, preexec_fn=limit)
        rows = rows_of(self.out, "results.csv")
        self.assertGreater(len(rows), 6)
        self.assertEqual(len(rows) % 6, 0)
        rest = list(csv.reader(done.stdout.splitlines(), strict=True))
        self.assertEqual(len(rest), 6)
        self.assertEqual(rest[0][3], f"stack-tanh/d3/w8/b2/fp32/xavier/seed{len(rows) // 6 + 1}")
        self.bench(*SMALL, "--seed=1:40:+1", "--resume")
        self.assertEqual(len(set(keys_of(self.out))), 40 * 6)
        self.assertEqual(len(rows_of(self.out, "decay.csv")), 40)

    def test_stdout_that_is_full(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([PROGRAM, *SMALL, "--out=-"], stdout=full, check=False,
                                  stderr=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 4)


class Interrupted(Run):
    MANY = SMALL + ["--seed=1:100:+1"]

    def whole(self):
        """What an uninterrupted run gives."""
        folder = os.path.join(self.top, "whole")
        self.bench(*self.MANY, f"--out={folder}", out=False)
        return folder

    def compare(self, whole):
        # Without assertEqual, whose difference of long lists takes minutes.
        self.assertTrue(sorted(keys_of(self.out)) == sorted(keys_of(whole)), "other keys")
        for name in FILES[:2]:
            self.assertTrue(gradients_of(self.out, name) == gradients_of(whole, name), name)

    def test_killed_again_and_again(self):
        whole = self.whole()
        for count in (0, 60, 200, 400):
            process = self.start(*self.MANY, "--resume")
            self.wait_for_rows(process, count)
            self.kill(process, False)
        self.bench(*self.MANY, "--resume")
        self.compare(whole)

    def test_killed_at_random(self):
        """At any moment: what was measured is there, whole and once, however often."""
        whole, kills, rounds, random_of = self.whole(), 0, 0, random.Random(1)
        while kills < KILLS:
            started = time.monotonic()
            process = self.start(*self.MANY, "--resume")
            try:
                process.wait(random_of.uniform(0, 0.25))
            except subprocess.TimeoutExpired:
                self.kill(process, random_of.random() < 0.5)
                kills += 1
                self.check_rows()
                continue
            self.assertEqual(process.returncode, 0, time.monotonic() - started)
            self.compare(whole)
            shutil.rmtree(self.out)
            rounds += 1
        self.bench(*self.MANY, "--resume")
        self.compare(whole)
        print(f"{kills} kills survived, in {rounds + 1} runs", file=sys.stderr)

    def kill(self, process, worker_too):
        """The supervisor, or a worker of it first; no worker outlives it."""
        if worker_too:
            for worker in self.workers_of(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(worker), signal.SIGSTOP)  # a moment in which nobody answers
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while self.workers_of(process.pid):
            self.assertLess(time.monotonic(), deadline, "a worker outlived its supervisor")
            time.sleep(0.005)

    def check_rows(self):
        """Every line that ends is a whole row; no key stands there twice."""
        for name in FILES:
            path = os.path.join(self.out, name)
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8") as file:
                lines = [line for line in file if line.endswith("\n")]
            self.assertLessEqual(len({len(row) for row in csv.reader(lines, strict=True)}), 1, name)
        if os.path.exists(os.path.join(self.out, "results.csv")):
            keys = [k for k in keys_of(self.out) if None not in k]
            self.assertEqual(len(keys), len(set(keys)))

    @staticmethod
    def workers_of(pid):
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if file.read().split(b"\0")[1:3] == [b"--vgbench-worker", b"%d" % pid]:
                        found.append(entry)
            except OSError:
                pass
        return found

    def test_torn_files(self):
        """Rows of a case go to gradients, decay, results: what comes after a tear in the order of
        writing was never written."""
        whole = self.whole()
        shutil.copytree(whole, self.out)
        lines = {}
        for name in FILES:
            with open(os.path.join(whole, name), "rb") as file:
                lines[name] = file.read().splitlines(keepends=True)
        a_case = dict(zip(FILES, (10, 1, 6)))
        for number, part in ((0, 0.1), (0, 0.95), (1, 0.001), (77, 0.5), (77, 0.9), (99, 0.9999)):
            for torn in FILES:
                with self.subTest(case=number, part=part, torn=torn):
                    for name in FILES:
                        first = 1 + number * a_case[name]
                        kept, rows = lines[name][:first], lines[name][first:first + a_case[name]]
                        data = b"".join(kept)
                        if FILES.index(name) < FILES.index(torn):
                            data += b"".join(rows)
                        elif name == torn:
                            rows = b"".join(rows)
                            data += rows[:int(len(rows) * part)]
                        with open(os.path.join(self.out, name), "wb") as file:
                            file.write(data)
                    self.bench(*self.MANY, "--resume")
                    self.compare(whole)

    def test_damage_is_told_with_its_line(self):
        self.bench(*SMALL)
        path = os.path.join(self.out, "results.csv")
        with open(path, "r+", encoding="utf-8") as file:
            lines = file.read().split("\n")
            lines[2] = lines[2].replace(",", "", 1)
            file.seek(0)
            file.write("\n".join(lines))
        done = self.bench(*SMALL, "--resume", code=2)
        self.assertIn("results.csv: line 3: ", done.stderr)
        with open(path, "w", encoding="utf-8") as file:
            file.write("schema_version,run_id,something_else\n")
        done = self.bench(*SMALL, "--resume", code=2)
        self.assertIn("line 1", done.stderr)

    def test_other_hardware_and_other_builds_are_refused(self):
        self.bench(*SMALL)
        path = os.path.join(self.out, "env.json")
        with open(path, encoding="utf-8") as file:
            env = json.load(file)
        for name in ("hardware_id", "build_id", "schema_version"):
            with open(path, "w", encoding="utf-8") as file:
                json.dump({**env, name: 99 if name == "schema_version" else "0" * 16}, file)
            self.bench(*SMALL, "--resume", code=2)
        with open(path, "w", encoding="utf-8") as file:
            file.write("{")
        done = self.bench(*SMALL, "--resume", code=2)
        self.assertIn("env.json: line 1", done.stderr)

    def test_resume_runs_only_what_is_missing(self):
        self.bench(*SMALL, "--seed=1,2")
        with open(os.path.join(self.out, "results.csv"), "rb") as file:
            before = file.read()
        self.bench(*SMALL, "--seed=1,2,3", "--resume")
        with open(os.path.join(self.out, "results.csv"), "rb") as file:
            after = file.read()
        self.assertTrue(after.startswith(before))
        self.assertEqual(len(rows_of(self.out, "results.csv")), 18)
        self.bench(*SMALL, "--seed=1,2,3", "--repetitions=3", "--resume")
        self.assertEqual(len(set(keys_of(self.out))), 27)
        self.assertEqual(len(keys_of(self.out)), 27)

    def test_signals_stop_at_the_next_case(self):
        whole = self.whole()
        for number, code in SIGNALS:
            with self.subTest(signal=number):
                shutil.rmtree(self.out, ignore_errors=True)
                process = self.start(*self.MANY)
                self.assertTrue(self.wait_for_rows(process, 30))
                process.send_signal(number)
                self.assertEqual(process.wait(30), code)
                rows = rows_of(self.out, "results.csv")
                self.assertLess(len(rows), 100 * 6)
                self.assertEqual(len(rows) % 6, 0)
                self.assertEqual({r["status"] for r in rows}, {"ok"})
                self.bench(*self.MANY, "--resume")
                self.compare(whole)

    def test_two_signals_stop_at_once(self):
        hang = ["--device-option=null.fail=hang", "--device-option=null.seed=2"]
        for number, code in SIGNALS:
            with self.subTest(signal=number):
                for moment in (0.5, 2, 8):  # by then it hangs in the second case
                    shutil.rmtree(self.out, ignore_errors=True)
                    process = self.start(*SMALL, "--seed=1,2,3", *hang)
                    self.assertTrue(self.wait_for_rows(process, 6))
                    time.sleep(moment)
                    process.send_signal(number)
                    time.sleep(0.2)
                    if process.poll() is None:
                        break
                self.assertIsNone(process.poll())
                process.send_signal(number)
                self.assertEqual(process.wait(10), code)
                rows = rows_of(self.out, "results.csv")
                self.assertEqual([r["status"] for r in rows], ["ok"] * 6 + ["interrupted"] * 3)
                self.bench(*SMALL, "--seed=1,2,3", "--resume")
                self.assertEqual({r["status"] for r in rows_of(self.out, "results.csv")}, {"ok"})
                self.assertEqual(len(set(keys_of(self.out))), 18)


if __name__ == "__main__":
    main()
