#!/usr/bin/env python3
"""What the system may do to a run: streams that are closed, folders that are taken away, a full disk,
little memory, few cores, other hardware than hwloc tells. Every row from before is there, once.
Usage: test_faults_system.py PROGRAM [unittest's own arguments]"""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import time

from run_program import FILES, PROGRAM, QUICK, SMALL, TINY, Run, keys_of, main, rows_of, text_of

MANY = [*SMALL, "--seed=1:400:+1", "--quiet"]
GRADIENT = [*TINY, "--measure=gradient"]


class Streams(Run):
    def test_closed_ones_leave_nothing_in_the_files(self):
        """Descriptors 0 to 2 are not given to files, into which a warning would go."""
        self.bench(*SMALL)
        right = text_of(self.out, "gradients.csv").count("\n"), sorted(keys_of(self.out))
        for closed in ((0,), (1,), (2,), (1, 2), (0, 1, 2)):
            with self.subTest(closed=closed):
                shutil.rmtree(self.out)
                redirect = " ".join(f"{n}>&-" for n in closed)
                done = subprocess.run(["sh", "-c", f'exec "$@" {redirect}', "sh", PROGRAM, *SMALL,
                                       f"--out={self.out}"], check=False, timeout=60,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 0)
                self.assertEqual((text_of(self.out, "gradients.csv").count("\n"),
                                  sorted(keys_of(self.out))), right)

    def test_results_for_a_stdout_that_is_closed(self):
        for how in ("1>&-", "| true"):
            done = subprocess.run(["bash", "-o", "pipefail", "-c",
                                   f'"$@" --seed=1:40:+1 --out=- {how}', "sh", PROGRAM, *SMALL],
                                  check=False, timeout=60, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn("stdout", done.stderr)

    def test_a_stderr_that_nobody_reads(self):
        done = subprocess.run(["bash", "-c", '"$@" 2> >(true)', "sh", PROGRAM, *SMALL,
                               f"--out={self.out}"], check=False, timeout=60)
        self.assertEqual((done.returncode, len(rows_of(self.out, "results.csv"))), (0, 6))

    def test_signals_that_were_to_be_ignored_are(self):
        """As nohup, or a shell's & in a script, has it."""
        for number in (signal.SIGHUP, signal.SIGINT):
            shutil.rmtree(self.out, ignore_errors=True)
            process = subprocess.Popen(
                [PROGRAM, *SMALL, "--seed=1:60:+1", f"--out={self.out}"], stderr=subprocess.DEVNULL,
                preexec_fn=lambda number=number: signal.signal(number, signal.SIG_IGN))
            self.assertTrue(self.wait_for_rows(process, 12))
            process.send_signal(number)
            self.assertEqual(process.wait(60), 0)
            self.assertEqual(len(set(keys_of(self.out))), 60 * 6)


class Folders(Run):
    def start_many(self):
        process = self.start(*MANY)
        self.assertTrue(self.wait_for_rows(process, 12))
        return process

    def test_one_that_is_removed_ends_the_run(self):
        process = subprocess.Popen([PROGRAM, *MANY, f"--out={self.out}"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(self.wait_for_rows(process, 12))
        shutil.rmtree(self.out)
        rest, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 4, errors)
        self.assertIn("it was removed while the run wrote there", errors)
        self.assertEqual(rest.count("\n"), 6)  # the case in hand

    def test_one_that_is_moved_takes_its_rows_along(self):
        process = self.start_many()
        moved = os.path.join(self.top, "moved")
        os.rename(self.out, moved)
        self.assertEqual(process.wait(120), 0)
        self.assertEqual(len(set(keys_of(moved))), 400 * 6)
        self.assertEqual(len(keys_of(moved)), 400 * 6)

    def test_a_second_run_finds_it_locked(self):
        process = self.start_many()
        done = self.bench(*MANY, "--resume", code=4)
        self.assertIn("another run writes there", done.stderr)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 143)
        self.assertEqual(len(keys_of(self.out)) % 6, 0)
        self.assertEqual(len(keys_of(self.out)), len(set(keys_of(self.out))))

    def test_one_that_may_not_be_written(self):
        """Found before anything is measured; what is there stays as it is."""
        self.bench(*SMALL)
        before = {name: text_of(self.out, name) for name in FILES}
        os.chmod(self.out, 0o555)
        for name in FILES:
            os.chmod(os.path.join(self.out, name), 0o444)
        done = self.bench(*SMALL, "--seed=1,2", "--resume", code=4, preexec_fn=without_override)
        self.assertIn("Permission denied", done.stderr)
        self.assertEqual({name: text_of(self.out, name) for name in FILES}, before)
        os.chmod(self.top, 0o555)
        done = self.bench(*SMALL, f"--out={self.top}/other", out=False, code=4,
                          preexec_fn=without_override)
        self.assertIn("Permission denied", done.stderr)
        for path in (self.top, self.out):
            os.chmod(path, 0o755)

    def test_nothing_is_written_elsewhere(self):
        """Than --out and --dump, whatever is asked for."""
        homes = {name: os.path.join(self.top, name) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
        for path in homes.values():
            os.mkdir(path)
        self.bench("--device=ref,null", *TINY, *QUICK, f"--dump={self.top}/dump", "--host-name=../../x",
                   "--processes=2", env={**os.environ, **homes})
        self.assertEqual(set(os.listdir(self.top)), {"out", "dump", *homes})
        for path in homes.values():
            self.assertEqual(os.listdir(path), [])
        self.assertEqual(set(os.listdir(self.out)), {"env.json", *FILES})

    def test_a_disk_that_is_really_full(self):
        """A file system of 48 KiB: no room at the start, none in the middle, and then room again."""
        disk = os.path.join(self.top, "disk")
        os.mkdir(disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", disk], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("mounting is not permitted")
        try:
            self.out = os.path.join(disk, "out")
            done = self.bench(*SMALL, "--seed=1:40:+1", code=4)
            self.assertIn("No space left on device", done.stderr)
            there = keys_of(self.out)
            self.assertGreater(len(there), 0)
            self.assertEqual((len(there) % 6, len(set(there))), (0, len(there)))
            self.assertEqual(done.stdout.count("\n"), 6)
            self.bench(*SMALL, f"--out={disk}/other", out=False, code=4)
            subprocess.run(["mount", "-o", "remount,size=2m", disk], check=True)
            self.bench(*SMALL, "--seed=1:40:+1", "--resume")
            self.assertEqual(keys_of(self.out)[:len(there)], there)
            self.assertEqual(len(set(keys_of(self.out))), 40 * 6)
            self.assertEqual(len(keys_of(self.out)), 40 * 6)
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


def without_override():
    """Root's own right to write anywhere is left behind at the exec that follows."""
    drop, overrides = 24, (1, 2)  # PR_CAPBSET_DROP; CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    for capability in overrides:
        ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0)


@contextlib.contextmanager
def little_memory(size):
    """A control group of so many bytes, of either version, as the file that takes processes in."""
    top = pathlib.Path("/sys/fs/cgroup")
    if (top / "memory").is_dir():
        group, limit = top / "memory" / f"vg_test_{os.getpid()}", "memory.limit_in_bytes"
    else:
        group, limit = top / f"vg_test_{os.getpid()}", "memory.max"
    group.mkdir()
    try:
        (group / limit).write_text(str(size))
        yield group / "cgroup.procs"
    finally:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)


class Machine(Run):
    def test_a_control_group_that_kills(self):
        """The worker of the one case that needs more; the others are there, before and after it."""
        def join(procs):
            procs.write_text(str(os.getpid()))

        try:
            with little_memory(400 << 20) as procs:
                self.bench("--device=cpu.scalar", "--activation=tanh", "--depth=4", "--batch=2",
                           "--measure=gradient", "--verify=off", "--width=8,6000,16", code=1,
                           preexec_fn=lambda: join(procs))
        except OSError as error:
            self.skipTest(f"no control group of our own: {error}")
        except subprocess.SubprocessError as error:
            self.skipTest(f"no control group that takes a process in: {error}")
        rows = [(row["case"].split("/")[2], row["status"]) for row in rows_of(self.out, "results.csv")]
        self.assertEqual(rows, [("w8", "ok"), ("w6000", "no_memory"), ("w16", "ok")])

    def test_a_worker_that_stands_still_or_falls(self):
        """Stopped from outside it is a hang; whatever it dies of, its row says it and the next runs."""
        hang = ["--device-option=null.fail=hang", "--device-option=null.seed=2"]
        for number, status in ((signal.SIGSTOP, "timeout"), (signal.SIGSEGV, "crashed"),
                               (signal.SIGKILL, "no_memory"), (signal.SIGBUS, "crashed")):
            with self.subTest(signal=number):
                shutil.rmtree(self.out, ignore_errors=True)
                process = self.start(*SMALL, "--seed=1,2,3", "--timeout=4", *hang)
                self.assertTrue(self.wait_for_rows(process, 6))
                time.sleep(0.3)
                for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                    os.kill(int(child), number)
                self.assertEqual(process.wait(60), 1)
                self.assertEqual([row["status"] for row in rows_of(self.out, "results.csv")],
                                 ["ok"] * 6 + [status] * 3 + ["ok"] * 6)

    def test_fewer_cores(self):
        """One of them, and none more for a thread that was asked for."""
        core = min(os.sched_getaffinity(0))

        def confine():
            os.sched_setaffinity(0, {core})

        done = self.bench("--device=cpu.scalar", *GRADIENT, "--threads=1,2", preexec_fn=confine)
        self.assertEqual([(row["threads"], row["bind"], row["status"])
                          for row in rows_of(self.out, "results.csv")],
                         [("1", "core", "ok"), ("2", "none", "ok")])
        self.assertIn("2 threads share 1 cores", done.stderr)

    def test_more_threads_than_any_machine_needs(self):
        """Are refused at once, not run into the time limit."""
        self.bench("--device=null,cpu.scalar", *GRADIENT, "--threads=1024",
                   preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
        rows = {row["device"]: (row["status"], row["reason"]) for row in rows_of(self.out, "results.csv")}
        self.assertEqual(rows["null"][0], "ok")
        self.assertEqual(rows["cpu.scalar"], ("unsupported", "1024 threads on 1 core: expected 1..16"))

    def test_what_hwloc_is_told(self):
        """Nothing, nonsense, or of another machine: the run does with what there is."""
        other = os.path.join(self.top, "nonsense.xml")
        with open(other, "w", encoding="utf-8") as file:
            file.write('<?xml version="1.0"?><topology version="2.0"><object type="Mach')
        for name, value in (("HWLOC_XMLFILE", "/nonexistent"), ("HWLOC_XMLFILE", other),
                            ("HWLOC_FSROOT", self.top), ("HWLOC_COMPONENTS", "-linux,-x86"),
                            ("HWLOC_SYNTHETIC", "nonsense"), ("HWLOC_SYNTHETIC", "pack:2 core:2 pu:2")):
            with self.subTest(name=name, value=value):
                shutil.rmtree(self.out, ignore_errors=True)
                self.bench("--device=null,cpu.scalar", *GRADIENT, env={**os.environ, name: value})
                self.assertEqual([row["status"] for row in rows_of(self.out, "results.csv")], ["ok"] * 2)


if __name__ == "__main__":
    main()
