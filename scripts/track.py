#!/usr/bin/env python3
"""Is one commit slower than another? Builds both, runs them in turn, and compares.

  scripts/track BASE [HEAD] [options] [-- options of bench]

Each side is built in a worktree of its own; then 15 short processes a side run in turn, in
alternating order, and scripts/compare.py gives a verdict. What it flags runs once more, alone, and
counts only if that confirms it. Commits are compared: what is not committed is not measured.

  --processes=N     a side (15); the same command with more continues, 0 builds alone
  --preset=FILE     what is run: bench/presets/track.txt, or another preset's name or file
  --case=NAME       this case instead of the preset's; may be given again
  --floor=PERCENT   the A/A floor, where it is above 3 %; else that of the history, if it has one
  --aa              measure that floor: both sides are BASE, nothing is judged
  --history=WHERE   append HEAD's runs and the comparison: a folder, or branch:NAME of this repository
  --work=DIR        worktrees, builds and runs (build-track); what is there is not done again
  --build=COMMAND   how a side is built, in its worktree; it leaves build/bench

The summary is in DIR/runs/.../summary.md and, where it is set, appended to $GITHUB_STEP_SUMMARY.
Exit as compare.py: 0 fine; 1 a regression; 2 usage; 3 not comparable, which a side is that does not
build or run. Stopped by a signal (130, 143, 129) or failed, the same command continues where it stopped.
"""
import argparse
import contextlib
import csv
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import vgpackages
from vgarguments import percent

if __name__ == "__main__":
    vgpackages.need("numpy", "pandas", "scipy")  # before anything is measured

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = "cmake --preset release && cmake --build build --target bench"
# Options of bench that say how, not what, is measured: they stay where cases are given by name.
HOW = {"device", "threads", "bind", "denormals", "device-option", "measure", "pass", "verify", "repetitions",
       "min-time", "warmup", "timeout", "gradient-rows", "host-name"}


class Stop(Exception):
    """Why there is no verdict, and the exit code."""

    def __init__(self, words, code=3):
        super().__init__(words)
        self.code = code


def say(*words):
    print("track:", *words, file=sys.stderr, flush=True)


def git(*arguments, at=ROOT, code=3):
    done = subprocess.run(["git", "-C", str(at), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Stop(f"git {arguments[0]}: {(done.stderr.strip() or 'failed').splitlines()[-1]}", code)
    return done.stdout.strip()


def one_word_each(arguments):
    """bench takes "--depth 64" too."""
    out = []
    for word in arguments:
        if word.startswith("--") or not out or "=" in out[-1]:
            out.append(word)
        else:
            out[-1] += f"={word}"
    return out


def parse(arguments):
    own, bench = arguments, []
    if "--" in arguments:
        own, bench = arguments[:arguments.index("--")], arguments[arguments.index("--") + 1:]
    parser = argparse.ArgumentParser(prog="track", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("head", nargs="?", default="HEAD")
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--preset", default="track")
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--floor")
    parser.add_argument("--aa", action="store_true")
    parser.add_argument("--history")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build-track")
    parser.add_argument("--build", default=BUILD)
    options = parser.parse_args(own)
    if not 0 <= options.processes <= 1000:
        parser.error(f"--processes={options.processes}: expected 0..1000")
    if options.floor is not None:
        try:
            percent(options.floor)
        except argparse.ArgumentTypeError as error:
            parser.error(f"--floor: {error}")
    options.bench, options.work = one_word_each(bench), options.work.resolve()
    return options


def preset_lines(name):
    for path in (pathlib.Path(name), ROOT / "bench" / "presets" / f"{name}.txt"):
        if path.is_file():
            lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            return [line for line in lines if line and not line.startswith("#")]
    raise Stop(f"--preset={name}: no such file, nor a preset of that name", 2)


def bench_arguments(options, cases, of=None):
    """The preset's lines, less those that the options of bench replace, and these; with cases in the place of
    the preset's. `of`, arguments of a run: of them what says how its cases are measured."""
    def name(argument):
        return argument.removeprefix("--").partition("=")[0]

    chosen = [f"--case={case}" for case in cases]
    if of:
        return [line for line in of if name(line) in HOW] + chosen
    replaced = {name(argument) for argument in options.bench}
    lines = [line for line in preset_lines(options.preset) if name(line) not in replaced]
    if cases:
        lines = [line for line in lines if name(line) in HOW] + chosen
    return lines + options.bench


@dataclasses.dataclass
class Side:
    name: str
    commit: str
    tree: pathlib.Path

    @property
    def bench(self):
        return self.tree / "build" / "bench"

    def build(self, command):
        """Checks the commit out, in a worktree that stays for the next time, and builds it."""
        git("worktree", "prune")
        if f"worktree {self.tree}" in git("worktree", "list", "--porcelain").splitlines():
            git("checkout", "--detach", "--force", self.commit, at=self.tree)
        else:
            if self.tree.exists() and not (self.tree / ".git").is_file():
                raise Stop(f"{self.tree} is no worktree: --work needs a folder of its own", 2)
            shutil.rmtree(self.tree, ignore_errors=True)
            git("worktree", "add", "--detach", str(self.tree), self.commit)
        say(f"building {self.name} ({self.commit[:12]})")
        log = self.tree.with_name(f"{self.name}-build.log")
        with open(log, "w", encoding="utf-8") as file:
            # A group of its own: what a signal stops is stopped whole, before another run may build here.
            with subprocess.Popen(command, shell=True, cwd=self.tree, stdout=file, stderr=subprocess.STDOUT,
                                  start_new_session=True) as done:
                try:
                    done.wait()
                finally:
                    if done.returncode is None:
                        os.killpg(done.pid, signal.SIGKILL)
        if done.returncode or not self.bench.is_file():
            raise Stop(f"{self.name} ({self.commit[:12]}) does not build: its log is {log}")


def run_once(side, arguments, folder):
    """One process of a side; its results are there whole or not at all."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([side.bench, *arguments, f"--out={part}", "--progress=off", "--quiet"], cwd=part.parent,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode not in (0, 1) or not (part / "results.csv").is_file():
        last = (done.stderr.strip() or "no word").splitlines()[-1]
        raise Stop(f"{side.name} ({side.commit[:12]}): bench ended with {done.returncode}: {last}",
                   done.returncode if done.returncode > 128 else 3)
    part.rename(folder)


def run_in_turn(sides, arguments, folder, processes):
    """Processes of both sides one after the other, who is first changing every time."""
    for i in range(processes):
        for side in sides if i % 2 == 0 else sides[::-1]:
            run = folder / side.name / f"{i:03}"
            if not run.is_dir():
                say(f"process {i + 1} of {processes}: {side.name}")
                run_once(side, arguments, run)
    return [folder / side.name for side in sides]


def compare(*arguments):
    """compare.py's exit code and stdout; what it says on stderr is ours to say."""
    done = subprocess.run([sys.executable, HERE / "compare.py", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise Stop((done.stderr.strip() or "compare.py failed").splitlines()[-1], done.returncode or 3)
    return done.returncode, done.stdout


def judge(sides, options, folder, floor):
    """Runs, compares, and runs what was flagged once more. The exit code."""
    wanted = bench_arguments(options, options.case)
    first = run_in_turn(sides, wanted, folder / "first", options.processes)
    told, summary = folder / "comparison.json", folder / "summary.md"
    arguments = [f"--floor={floor}", f"--write=json:{told}", f"--write=markdown:{summary}"]
    code, text = compare(*first, *arguments)
    cases = list(dict.fromkeys(row["case"] for row in json.loads(told.read_text())["measurements"]
                               if row.get("flagged")))
    if cases:
        say(f"once more, to confirm: {', '.join(cases)}")
        key = hashlib.sha256("\n".join(cases).encode()).hexdigest()[:8]  # of more processes others may be flagged
        again = folder / f"again-{options.processes}-{key}"
        second = run_in_turn(sides, bench_arguments(options, cases, wanted), again, options.processes)
        code, text = compare(*first, "--confirm", *second, *arguments)
    print(text, end="")
    if into := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(into, "a", encoding="utf-8") as file:
            file.write(summary.read_text(encoding="utf-8"))
    return code


def measure_floor(sides, options, folder, history):
    runs = run_in_turn(sides, bench_arguments(options, options.case), folder / "first", options.processes)
    told = json.loads(compare("--aa", *runs, "--format=json")[1])
    print(compare("--aa", *runs)[1], end="")
    if history:
        machine = history / told["hardware_id"]
        machine.mkdir(parents=True, exist_ok=True)
        (machine / "floor.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    return 0


def known_floor(options, history, hardware_id):
    path = history / hardware_id / "floor.json" if history and hardware_id else None
    if options.floor or not path or not path.is_file():
        return options.floor or "0"
    return f"{100 * json.loads(path.read_text(encoding='utf-8'))['aa_floor']:.2f}"


def hardware_here(side, work):
    """The hardware_id of this machine, as the build says it."""
    probe = work / "probe"
    shutil.rmtree(probe, ignore_errors=True)
    subprocess.run([side.bench, "--device=null", "--depth=1", "--width=1", "--min-time=0", "--warmup=0",
                    "--repetitions=1", f"--out={probe}", "--quiet"], capture_output=True, check=False)
    path = probe / "env.json"
    return json.loads(path.read_text(encoding="utf-8"))["hardware_id"] if path.is_file() else ""


@contextlib.contextmanager
def history_folder(where, work):
    """The folder to append to. Of a branch it is a worktree, committed where the block ends well."""
    if not where or not where.startswith("branch:"):
        yield pathlib.Path(where) if where else None
        return
    branch, tree = where.removeprefix("branch:"), work / "history"
    known = subprocess.run(["git", "-C", ROOT, "show-ref", "--verify", "--quiet", f"refs/heads/{branch}"], check=False)
    us = ["-c", "user.name=scripts/track", "-c", "user.email=track@localhost"]
    if known.returncode:
        empty = git("hash-object", "-t", "tree", "/dev/null")
        git("branch", branch, git(*us, "commit-tree", empty, "-m", "history: begin"), code=2)
    shutil.rmtree(tree, ignore_errors=True)
    git("worktree", "prune")
    git("worktree", "add", str(tree), branch, code=2)
    try:
        yield tree
        git("add", "-A", at=tree)
        if git("status", "--porcelain", at=tree):
            git(*us, "commit", "-q", "-m", "history: a run", at=tree)
    finally:
        git("worktree", "remove", "--force", str(tree))


def append_history(history, head, folder):
    """HISTORY/<hardware_id>/<time>-<commit>/: the head's rows of all processes, what is the same in
    each of them once, and the comparison."""
    runs = sorted((folder / "first" / head.name).iterdir())
    env = json.loads((runs[0] / "env.json").read_text(encoding="utf-8"))
    entry = history / env["hardware_id"] / f"{env['time_utc'].replace(':', '')}-{head.commit[:12]}"
    part = entry.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in ("env.json", "gradients.csv", "decay.csv"):
        shutil.copy(runs[0] / name, part)
    for name in ("comparison.json", "summary.md"):
        shutil.copy(folder / name, part)
    with open(part / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for i, run in enumerate(runs):
            with open(run / "results.csv", newline="", encoding="utf-8") as rows:
                writer.writerows(list(csv.reader(rows, strict=True))[min(i, 1):])
    shutil.rmtree(entry, ignore_errors=True)
    part.rename(entry)
    say(f"appended to the history: {entry.relative_to(history)}")


def commit_of(name):
    try:
        return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except Stop:
        raise Stop(f"{name}: no such commit here", 2) from None


def track(options):
    names = [options.base, options.base if options.aa else options.head]
    sides = [Side(name, commit_of(of), options.work / name) for name, of in zip(("base", "head"), names)]
    arguments = bench_arguments(options, options.case)
    settings = hashlib.sha256("\n".join([options.build, *arguments]).encode()).hexdigest()[:8]
    folder = options.work / "runs" / f"{sides[0].commit[:12]}-{sides[1].commit[:12]}-{settings}"
    if git("status", "--porcelain", "--untracked-files=no") and options.head == "HEAD":
        say("what is not committed is not measured")
    for side in sides:
        side.build(options.build)
    if options.processes == 0:
        return 0
    with history_folder(options.history, options.work) as history:
        if options.aa:
            return measure_floor(sides, options, folder, history)
        floor = known_floor(options, history, hardware_here(sides[1], options.work) if history else "")
        code = judge(sides, options, folder, floor)
        if history:
            append_history(history, sides[1], folder)
        return code


def stopped(number, _frame):
    """What is under way is killed as the exception passes it, and what is whole stays."""
    raise Stop("stopped; the same command continues", 128 + number)


def main(arguments):
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        with open(options.work / "lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Stop(f"{options.work} is in use by another run") from None
            return track(options)
    except Stop as stop:
        say(stop)
        return stop.code
    except OSError as error:
        say(error)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
