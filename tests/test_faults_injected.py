#!/usr/bin/env python3
"""The n-th call of a kind fails (faults/injected.c): the exit code says so, every row from before is
there, whole and unique, and --resume makes the run what it would have been.
Usage: test_faults_injected.py PROGRAM [unittest's own arguments]; VG_FAULT_LIBRARY: the library;
VG_SLOW=1: for more n's."""

import csv
import os
import shutil
import subprocess
import sys
import tempfile

from run_program import FILES, PROGRAM, QUICK, TINY, Run, gradients_of, keys_of, main, rows_of

LIBRARY = os.environ.get("VG_FAULT_LIBRARY", "")
SLOW = os.environ.get("VG_SLOW", "") == "1"
BEFORE, ALL = ["--seed=1,2"], ["--seed=1:5:+1"]
FILE_KINDS = ("mkdir", "open", "write", "sync", "rename")


def environment(fault="", log=""):
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {**os.environ, "LD_PRELOAD": LIBRARY, "VG_FAULT": fault, "VG_FAULT_LOG": log,
            "ASAN_OPTIONS": sanitizer}


def some(count, few):
    """The first of 1..count, the last, and `few` over the rest: sixteen times as many in the long form."""
    few *= 16 if SLOW else 1
    if count <= few:
        return range(1, count + 1)
    return sorted({1, 2, *(1 + i * count // few for i in range(few)), count})


class Injected(Run):
    device, more, injected = "null", (), 0

    @classmethod
    def setUpClass(cls):
        cls.made = tempfile.mkdtemp(prefix="vg_run_")
        cls.arguments = [f"--device={cls.device}", *TINY, *(cls.more or (*QUICK, "--verify=off"))]
        for name, seeds in (("before", BEFORE), ("whole", ALL)):
            subprocess.run([PROGRAM, *cls.arguments, *seeds, f"--out={cls.made}/{name}"], check=True,
                           capture_output=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.made)
        print(f"{cls.__name__}: {cls.injected} faults injected", file=sys.stderr)

    def run_with(self, fault, *more):
        """The exit code and stderr of a run under that fault, and whether it was injected."""
        log = os.path.join(self.top, "log")
        if os.path.exists(log):
            os.remove(log)
        done = subprocess.run([PROGRAM, *self.arguments, *ALL, *more, f"--out={self.out}"], text=True,
                              env=environment(fault, log), capture_output=True, timeout=300,
                              cwd=self.top, check=False)
        failed, counts = 0, {}
        if os.path.exists(log):
            with open(log, encoding="utf-8") as file:
                for who, kind, count, failures in map(str.split, file):
                    counts[who, kind] = max(counts.get((who, kind), 0), int(count))
                    failed += int(failures)
        type(self).injected += failed > 0
        return done, failed > 0, counts

    def counts(self, started=True):
        self.begin(started)
        return self.run_with("", "--resume")[2]

    def begin(self, started):
        shutil.rmtree(self.out, ignore_errors=True)
        if started:
            shutil.copytree(os.path.join(self.made, "before"), self.out)

    def check_rows(self, started):
        """What was there before is there; whatever else is there is whole, but for a last line."""
        for name in FILES:
            path, before = os.path.join(self.out, name), b""
            if started:
                with open(os.path.join(self.made, "before", name), "rb") as file:
                    before = file.read()
            elif not os.path.exists(path):
                continue
            with open(path, "rb") as file:
                data = file.read()
            self.assertTrue(data.startswith(before), f"{name}: rows from before are gone")
            lines = data.decode().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            self.assertGreaterEqual(len(whole), len(lines) - 1)
            self.assertLessEqual(len({len(row) for row in csv.reader(whole, strict=True)}), 1, name)
        if os.path.exists(os.path.join(self.out, "results.csv")):
            keys = keys_of(self.out)
            self.assertEqual(len(keys), len(set(keys)))

    def finish(self):
        done, _, _ = self.run_with("", "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        whole = os.path.join(self.made, "whole")
        self.assertTrue(sorted(keys_of(self.out)) == sorted(keys_of(whole)), "other keys")
        self.assertEqual({row["status"] for row in rows_of(self.out, "results.csv")}, {"ok"})
        for name in FILES[:2]:
            self.assertTrue(gradients_of(self.out, name) == gradients_of(whole, name), name)

    def fault(self, fault, codes, started=True):
        with self.subTest(fault=fault, started=started):
            self.begin(started)
            done, _, _ = self.run_with(fault, "--resume")
            self.assertIn(done.returncode, codes, done.stderr)
            if done.returncode not in (0, 1):
                self.assertRegex(done.stderr, r"(?m)^bench: .+")
            self.check_rows(started)
            # A case that failed is done; only what was not written is measured now.
            statuses = {row["status"] for row in rows_of(self.out, "results.csv")} \
                if os.path.exists(os.path.join(self.out, "results.csv")) else {"ok"}
            if statuses <= {"ok", "interrupted"}:
                self.finish()
            return done


class Files(Injected):
    def test_the_nth_call_on_a_file_fails(self):
        for started in (True, False):
            counts = self.counts(started)
            for kind, error in zip(FILE_KINDS, ("EROFS", "EACCES", "ENOSPC", "EIO", "EIO")):
                count = counts["supervisor", kind]
                self.assertTrue(count > 0 or (started and kind == "rename"), kind)
                for n in some(count, 4):
                    self.fault(f"supervisor:{kind}:{n}:{error}", (4,), started)

    def test_a_disk_that_is_full_from_then_on(self):
        """At the start, in the middle, at the last row."""
        for started in (True, False):
            for n in some(self.counts(started)["supervisor", "write"], 3):
                done = self.fault(f"supervisor:write:{n}:ENOSPC+", (4,), started)
                self.assertIn("No space left on device", done.stderr)

    def test_a_disk_that_takes_half(self):
        """And then nothing: the torn row is taken back, or where not even that works, dropped later."""
        for n in some(self.counts()["supervisor", "write"], 4):
            self.fault(f"supervisor:write:{n}:short", (0,))
        self.fault("supervisor:truncate:1:EIO", (0,))

    def test_a_disk_that_says_so_at_close(self):
        """The rows are on disk by then; env.json, which is not, is refused."""
        for started in (True, False):
            for n in range(1, self.counts(started)["supervisor", "close"] + 1):
                for error in ("ENOSPC", "EDQUOT", "EIO"):
                    self.fault(f"supervisor:close:{n}:{error}", (0, 4), started)
        done = self.fault("supervisor:close:1:ENOSPC", (4,), started=False)
        self.assertIn("env.json.new: No space left on device", done.stderr)


class Memory(Injected):
    def test_the_nth_allocation_of_the_supervisor_fails(self):
        """Each of them in the long form: a library may err at a single one."""
        for started in (True, False):
            count = self.counts(started)["supervisor", "malloc"]
            for n in range(1, count + 1) if SLOW and started else some(count, 10):
                self.fault(f"supervisor:malloc:{n}:ENOMEM", (0, 1, 4), started)

    def test_none_from_then_on(self):
        for n in some(self.counts()["supervisor", "malloc"], 6):
            self.fault(f"supervisor:malloc:{n}:ENOMEM+", (0, 1, 4))

    def test_the_nth_allocation_of_a_worker_fails(self):
        for n in some(self.counts()["worker", "malloc"], 10):
            done = self.fault(f"worker:malloc:{n}:ENOMEM", (0, 1))
            statuses = {row["status"] for row in rows_of(self.out, "results.csv")} \
                if os.path.exists(os.path.join(self.out, "results.csv")) else set()
            self.assertLessEqual(statuses, {"ok", "no_memory", "crashed"}, done.stderr)


class MemoryOfTheProcessor(Injected):
    """A worker with kernels: an arena, threads, hwloc."""
    device, more = "cpu.scalar", ("--measure=gradient", "--threads=1,2")

    def test_the_nth_allocation_fails(self):
        for n in some(self.counts()["worker", "malloc"], 6):
            self.fault(f"worker:malloc:{n}:ENOMEM", (0, 1))
            if os.path.exists(os.path.join(self.out, "results.csv")):
                statuses = {row["status"] for row in rows_of(self.out, "results.csv")}
                self.assertLessEqual(statuses, {"ok", "no_memory", "crashed"}, f"allocation {n}")

    def test_the_nth_mapping_fails(self):
        for n in some(self.counts()["worker", "map"], 3):
            self.fault(f"worker:map:{n}:ENOMEM", (0, 1))

    def test_no_thread_starts(self):
        self.fault("worker:thread:1:EAGAIN+", (1,))
        self.assertEqual({row["status"] for row in rows_of(self.out, "results.csv")}, {"ok", "no_memory"})

    def test_threads_that_may_not_be_bound(self):
        """They run unbound, which their rows say."""
        self.begin(started=False)
        done = self.run_with("worker:affinity:1:EPERM+")[0]
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({(row["status"], row["threads"], row["bind"])
                          for row in rows_of(self.out, "results.csv")},
                         {("ok", "1", "none"), ("ok", "2", "none")})
        self.assertIn("2 threads could not be bound to ", done.stderr)


    def test_threads_that_cannot_be_bound_for_want_of_memory(self):
        self.fault("worker:affinity:1:ENOMEM+", (1,), started=False)
        self.assertEqual({row["status"] for row in rows_of(self.out, "results.csv")}, {"no_memory"})


class Sight(Injected):
    """What hwloc has no memory to read it leaves out without a word: processors, too."""
    device, more = "cpu.scalar", ("--measure=gradient", "--verify=off", "--threads=2")

    def test_the_nth_allocation_of_hwloc_fails(self):
        count = self.counts()["worker", "sight"]
        for n in range(1, count + 1) if SLOW else some(count, 6):
            self.fault(f"worker:sight:{n}:ENOMEM", (0, 1))

    def test_one_look_finds_one_processor(self):
        """Another finds the others."""
        for started in (True, False):
            self.fault("worker:look:1:ENOMEM", (0,), started)

    def test_every_look_finds_one_processor(self):
        self.begin(started=False)
        done = self.run_with("worker:look:1:ENOMEM+")[0]
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({(row["status"], row["threads"], row["bind"])
                          for row in rows_of(self.out, "results.csv")}, {("ok", "2", "none")})


class Processes(Injected):
    def test_no_process_starts(self):
        """The first asks what devices there are: without it there is no run."""
        for n in range(1, self.counts()["supervisor", "fork"] + 1):
            done = self.fault(f"supervisor:fork:{n}:EAGAIN+", (1,))
            if n == 1:
                self.assertIn("no process for a worker: Resource temporarily unavailable", done.stderr)

    def test_a_pipe_that_breaks(self):
        """Its end may be that of an answer that nobody waits for."""
        for who, wrong in (("supervisor", "EPIPE"), ("worker", "EPIPE+")):
            for n in some(self.counts()[who, "pipe"], 4):
                self.fault(f"{who}:pipe:{n}:{wrong}", (0, 1))
                self.fault(f"{who}:pipe:{n}:short", (0,))

    def test_nonsense_on_a_pipe(self):
        for n in some(self.counts()["worker", "pipe"], 4):
            done = self.fault(f"worker:pipe:{n}:garble", (0, 1))
            if os.path.exists(os.path.join(self.out, "results.csv")):
                bad = [row for row in rows_of(self.out, "results.csv") if row["status"] != "ok"]
                self.assertEqual({row["status"] for row in bad} - {"crashed"}, set(), done.stderr)


class Clock(Injected):
    def test_a_calendar_that_jumps(self):
        for seconds in (-10**9, 3600, 10**10):
            self.fault(f"supervisor:clock:1:{seconds}+", (0,))


class Libraries(Run):
    def test_of_another_version(self):
        """Their devices are unsupported, with both versions; the others run."""
        listed = subprocess.run([PROGRAM, "--list"], text=True, capture_output=True, check=True).stdout
        devices = [("cpu.scalar", "hwloc", "50000", "hwloc's interface is version 5.0 here: expected 2")]
        if "cpu.onednn    not here" not in listed and "cpu.onednn" in listed:
            devices.append(("cpu.onednn", "onednn", "9", "oneDNN is version 9.0 here: expected "))
        for device, kind, version, reason in devices:
            with self.subTest(device=device):
                self.out = os.path.join(self.top, device)
                self.bench(f"--device=null,{device}", *TINY, "--measure=gradient",
                           env=environment(f"worker:{kind}:1:{version}+"))
                for row in rows_of(self.out, "results.csv"):
                    right = ("ok", "") if row["device"] == "null" else ("unsupported", reason)
                    self.assertEqual(row["status"], right[0])
                    self.assertTrue(row["reason"].startswith(right[1]), row["reason"])


if __name__ == "__main__":
    if not LIBRARY:
        print("skipped: VG_FAULT_LIBRARY names no library")
        sys.exit(77)
    main()
