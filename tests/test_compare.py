"""scripts/compare.py on folders made up for it, and its statistics on simulated times.
  test_compare.py [--slow] [unittest's own arguments]
Exits 77 where its packages are not here."""
import contextlib
import csv
import io
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

import made_results
import numpy
from made_results import CASE, POINT, env, rows, write

import compare
import vgcurves
import vgstats
import vgtolerance

SLOW = "--slow" in sys.argv
NOISE = [1 + 0.001 * ((7 * i) % 15 - 7) for i in range(15)]  # 15 processes within 0.7 %
WIDE = [1 + 0.04 * ((7 * i) % 15 - 7) for i in range(15)]


def times(factor=1.0, noise=tuple(NOISE)):
    return [factor * t for t in noise]


class Folders(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)

    def run_compare(self, *arguments):
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code = compare.main([str(argument) for argument in arguments])
            except SystemExit as stop:
                code = stop.code
        return code, out.getvalue(), errors.getvalue()

    def sides(self, base, new, **more):
        """Writes two folders; a list of times becomes rows."""
        for name, table in (("base", base), ("new", new)):
            table = rows(table) if table and not isinstance(table[0], dict) else table
            write(self.top / name, table, **{k: v[name] for k, v in more.items()})
        return self.top / "base", self.top / "new"

    def verdicts(self, base, new, *arguments, **more):
        """(exit code, the JSON) of a comparison."""
        code, out, errors = self.run_compare(*self.sides(base, new, **more), "--format=json", *arguments)
        self.assertTrue(out, errors)
        return code, json.loads(out)

    def only(self, base, new, *arguments, **more):
        code, told = self.verdicts(base, new, *arguments, **more)
        (row,) = told["measurements"]
        return code, row["verdict"], row["reason"]


class Verdicts(Folders):
    def test_same(self):
        self.assertEqual(self.only(times(), times(1.001)), (0, "same", ""))

    def test_slower_and_faster(self):
        code, told = self.verdicts(times(), times(1.05))
        (row,) = told["measurements"]
        self.assertEqual((code, row["verdict"], row["confirmed"]), (1, "slower", None))
        self.assertAlmostEqual(row["ratio"], 1.05)
        self.assertLess(row["p"], 1e-6)
        low, high = row["interval"]
        self.assertTrue(1.04 < low < 1.05 < high < 1.06, row)
        self.assertEqual(self.only(times(), times(1 / 1.05))[:2], (0, "faster"))

    def test_a_small_effect_is_none_however_sure(self):
        for factor in (1.029, 0.971):
            code, told = self.verdicts(times(), times(factor))
            (row,) = told["measurements"]
            self.assertLess(row["p"], 1e-6)
            self.assertEqual((code, row["verdict"]), (0, "cannot tell"))

    def test_the_floor_is_an_effect_too(self):
        self.assertEqual(self.only(times(), times(1.05), "--floor=6%")[:2], (0, "same"))
        self.assertEqual(self.only(times(), times(1.05), "--floor=2")[:2], (1, "slower"))

    def test_noise_tells_nothing(self):
        code, verdict, reason = self.only(times(noise=WIDE), times(1.05, WIDE))
        self.assertEqual((code, verdict), (0, "cannot tell"))
        self.assertIn("interval", reason)

    def test_few_processes_tell_nothing(self):
        for n in (1, 7):
            code, verdict, reason = self.only(times()[:n], times(2)[:n])
            self.assertEqual((code, verdict), (0, "cannot tell"))
            self.assertEqual(reason, "fewer than 8 processes a side; quartiles lie apart")
        self.assertIn("overlap", self.only(times()[:7], times()[:7])[2])
        self.assertEqual(self.only(times()[:8], times(2)[:8])[:2], (1, "slower"))

    def test_a_second_run_confirms(self):
        for factor, expected in ((1.05, (1, "slower", "")), (1.0, (0, "cannot tell", "a second run did not confirm it")),
                                 (0.9, (0, "cannot tell", "a second run did not confirm it"))):
            second = (write(self.top / "base2", rows(times())), write(self.top / "new2", rows(times(factor))))
            self.assertEqual(self.only(times(), times(1.05), "--confirm", *second), expected)

    def test_chance_among_many_is_none(self):
        """p is 0.02 in one of 40: alone it would count, among 40 it does not."""
        shifted = sorted(times(1.031, WIDE))
        base = sorted(times(noise=WIDE))
        step = next(k for k in range(15) if 0.01 < vgstats.p_value(base, shifted[k:] + [9.0] * k) < 0.04)
        shifted = shifted[step:] + [9.0] * step
        self.assertTrue(vgstats.find([(base, shifted)], 0.03)[0].flagged)
        found = vgstats.find([(base, shifted)] + [(base, base)] * 39, 0.03)
        self.assertFalse(any(one.flagged for one in found))

    def test_missing_and_new(self):
        code, told = self.verdicts(list(rows(times(), case="a")) + list(rows(times())),
                                   list(rows(times())) + list(rows(times(), case="b")))
        self.assertEqual([(row["case"], row["verdict"]) for row in told["measurements"]],
                         [("a", "missing"), (CASE, "same"), ("b", "new")])
        self.assertEqual((code, told["counts"]["missing"]), (0, 1))
        self.assertEqual({row["ratio"] for row in told["measurements"] if row["verdict"] != "same"}, {None})

    def test_what_ran_and_runs_no_longer_is_a_regression(self):
        crash = [{**made_results.ROW, "status": "crashed", "reason": "SIGSEGV", "threads": "", "time_s": ""}]
        code, told = self.verdicts(times(), crash)
        (row,) = told["measurements"]
        self.assertEqual((code, row["verdict"], row["reason"]), (1, "missing", "crashed: SIGSEGV in NEW"))
        code, told = self.verdicts(crash, list(rows(times())))
        self.assertEqual((code, told["measurements"][0]["verdict"]), (0, "new"))
        other = list(rows(times(), case="a"))
        code, told = self.verdicts(crash + other, crash + other)
        self.assertEqual((code, [row["case"] for row in told["measurements"]]), (0, ["a"]))
        self.assertIn("1 measurements count on neither side", " ".join(told["notes"]))

    def failing(self, first, count=15, **more):
        """Rows of processes that fail from the first named on."""
        return [{**made_results.ROW, "status": "mismatch", "reason": "checksum", "process": process, "time_s": "",
                 "items_per_s": "", "repetition": "", **more} for process in range(first, count)]

    def test_what_fails_in_some_processes_is_a_regression(self):
        whole, some = list(rows(times())), list(rows(times()[:8])) + self.failing(8)
        told = "7 of 15 processes in NEW: mismatch: checksum"
        self.assertEqual(self.only(whole, some), (1, "cannot tell", told))
        self.assertEqual(self.only(whole, list(rows(times(1.5)[:8])) + self.failing(8))[:2], (1, "slower"))
        self.assertEqual(self.only(whole, list(rows(times()[:8])) + self.failing(8, threads=""))[:2], (1, "cannot tell"))
        few = self.only(whole, list(rows(times()[:2])) + self.failing(2))
        self.assertEqual((few[0], few[2][:30]), (1, "13 of 15 processes in NEW: mis"))
        self.assertEqual(self.only(some, whole), (0, "same", told.replace("NEW", "BASE")))
        self.assertEqual(self.only(some, some)[0], 0)

    def test_what_is_not_timed_can_fail_too(self):
        """Of a run of gradients alone, whose curve is then in BASE alone."""
        ran = [{**made_results.ROW, "case": case, "pass": "", "time_s": "", "items_per_s": ""} for case in ("a", "b")]
        failed = [ran[0], {**ran[1], "status": "crashed", "reason": "SIGSEGV"}]
        points = [{**POINT, "case": case} for case in ("a", "b")]
        for base, new, code, regressed in ((ran, failed, 1, ["b"]), (failed, ran, 0, []), (failed, failed, 0, [])):
            got, told = self.verdicts(base, new, gradients={"base": points, "new": points[:1]})
            self.assertEqual((got, [row["case"] for row in told["measurements"]]), (code, regressed))
        for form in ("text", "markdown"):
            self.assertIn("crashed: SIGSEGV in NEW", self.run_compare(*self.sides(ran, failed), f"--format={form}")[1])

    def test_a_failure_counts_where_it_was(self):
        both = list(rows(times())) + list(rows(times(), threads=1))
        code, told = self.verdicts(both, both + self.failing(15, 16, threads=1))
        self.assertEqual((code, [row["regressed"] for row in told["measurements"]]), (1, [False, True]))

    def test_what_was_stopped_is_absent(self):
        stopped = [{**row, "status": "interrupted", "reason": "stopped at once"} for row in self.failing(8)]
        self.assertEqual(self.only(times(), list(rows(times()[:8])) + stopped), (0, "same", ""))
        other = list(rows(times(), case="a"))
        code, told = self.verdicts(other + list(rows(times())), other + stopped)
        self.assertEqual((code, [row["verdict"] for row in told["measurements"]]), (0, ["same", "missing"]))

    def test_samples_of_several_algorithms_are_told(self):
        header = [*made_results.HEADERS["results"], "algorithm"]
        with unittest.mock.patch.dict(made_results.HEADERS, results=header):
            one = [{**row, "algorithm": "scan S"} for row in rows(times())]
            two = [{**row, "algorithm": "scan M" if row["process"] > 9 else "scan S"} for row in one]
            _, told = self.verdicts(one, two)
            self.assertIn(f"1 measurements of NEW pool several algorithms: {CASE} cpu.avx2 train: scan S, scan M.",
                          told["notes"])
            self.assertEqual(" ".join(self.verdicts(one, one)[1]["notes"]).count("algorithms"), 0)

    def test_rows_that_do_not_count(self):
        for change, reason in (({"verified": "no"}, "not verified"), ({"disturbed": 1}, "always disturbed")):
            code, told = self.verdicts(times(), list(rows(times(2), **change)))
            (row,) = told["measurements"]
            self.assertEqual((code, row["verdict"], row["reason"]), (0, "cannot tell", f"{reason} in NEW"))
            self.assertIn("45 of 45 repetitions in NEW", told["notes"][0])
        """A disturbed repetition is left out of its process's median, and counted."""
        calm = list(rows(times()))
        wild = [{**row, "repetition": 3 + i, "time_s": 50, "disturbed": 1} for row in calm[::3] for i in range(9)]
        code, told = self.verdicts(times(), calm + wild)
        self.assertEqual((code, told["measurements"][0]["verdict"]), (0, "same"))
        self.assertIn("135 of 180 repetitions in NEW were disturbed", told["notes"][0])

    def test_each_part_of_the_key_counts(self):
        for name, value in (("device", "ref"), ("pass", "fwd"), ("threads", 1), ("bind", "none"), ("denormals", "flush")):
            other = list(rows(times(), case="a"))
            _, told = self.verdicts(other + list(rows(times())), other + list(rows(times(), **{name: value})))
            self.assertEqual([row["verdict"] for row in told["measurements"]], ["same", "missing", "new"], name)

    def test_unknown_threads_are_equal(self):
        table = list(rows(times(), threads=""))
        self.assertEqual(self.only(table, table)[1], "same")


class Comparable(Folders):
    def refused(self, words, *arguments, code=3):
        got, out, errors = self.run_compare(*arguments)
        self.assertEqual((got, out, errors.count("\n")), (code, "", 1), errors)
        self.assertIn(words, errors)

    def test_no_baseline(self):
        base, new = self.sides(list(rows(times(), hardware_id="there")), times())
        self.refused("no baseline: BASE holds no run of hardware here, only of there", base, new)
        (self.top / "empty").mkdir()
        self.refused("no baseline", self.top / "empty", new)

    def test_nothing_in_common_is_no_pass(self):
        self.refused("no measurement counts on both sides, 2 on one alone",
                     *self.sides(times(), list(rows(times(), case="another"))))
        failed = [{**made_results.ROW, "status": "crashed", "time_s": ""}]
        self.refused("no measurement counts on both sides, 0 on one alone", *self.sides(failed, failed))
        untimed = [{**made_results.ROW, "time_s": "", "items_per_s": ""}]  # of --measure=gradient
        both = {"base": [POINT], "new": [POINT]}
        self.assertEqual(self.run_compare(*self.sides(untimed, untimed, gradients=both))[0], 0)
        self.refused("1 on one alone", *self.sides(times(), untimed, gradients=both))

    def test_other_machines_of_a_fleet_are_named(self):
        for side in ("base", "new"):
            for machine in ("here", "there"):
                run = f"{side}-{machine}"
                write(self.top / side / machine, rows(times(), run_id=run, hardware_id=machine), facts=env(run))
        _, out, _ = self.run_compare(self.top / "base", self.top / "new")
        self.assertEqual(out.count("has runs on both sides and was not compared"), 1, out)

    def test_a_second_run_is_of_the_same_builds(self):
        first = self.sides(times(), times(1.05))
        for name, value in (("build_id", "b9"), ("hardware_id", "elsewhere")):
            second = [write(self.top / f"{side}2", rows(times(), **{name: value})) for side in ("base", "new")]
            what = name.removesuffix("_id")
            self.refused(f"--confirm: BASE is of {what} ", *first, "--confirm", *second)

    def test_what_must_be_alike(self):
        self.refused("dtype bf16 and fp32", *self.sides(list(rows(times(), dtype="bf16")), times()))
        for compiler in ("GNU 13.1.0", "Clang 12.0.0"):
            facts = {"base": env(), "new": env(compiler=compiler)}
            self.refused("toolchain GNU 12 and", *self.sides(times(), times(), facts=facts))
        later = self.sides(list(rows(times(), schema_version=2)), times())
        self.refused("base/results.csv: line 2, column 1: schema_version 2", *later)
        self.assertEqual(self.run_compare(*later, "--cross")[0], 0)

    def test_a_minor_version_is_no_difference(self):
        facts = {"base": env(), "new": env(compiler="GNU 12.9.0")}
        self.assertEqual(self.run_compare(*self.sides(times(), times(), facts=facts))[0], 0)

    def test_the_newest_build_of_this_machine(self):
        for run, build, machine, when, factor in (("r1", "b1", "here", 1, 3), ("r2", "b2", "here", 2, 1),
                                                  ("r3", "b3", "there", 3, 9)):
            write(self.top / "history" / run,
                  rows(times(factor), run_id=run, build_id=build, hardware_id=machine,
                       time_utc=f"2026-01-0{when}T00:00:00Z"), facts=env(run))
        new = write(self.top / "new", rows(times(), run_id="r4", build_id="b4"), facts=env("r4"))
        code, out, _ = self.run_compare(self.top / "history", new, "--format=json")
        told = json.loads(out)
        self.assertEqual((code, told["base"]["build_id"], told["measurements"][0]["verdict"]), (0, "b2", "same"))
        self.assertIn("1 older builds", " ".join(told["notes"]))
        code, out, _ = self.run_compare(self.top / "history", new, "--format=otava")
        table = list(csv.DictReader(out.splitlines()))
        self.assertEqual([row["time"][8:10] for row in table], ["01", "01", "02"])
        self.assertEqual(sorted(float(row[list(row)[2]]) for row in table), [1000, 1000, 3000])

    def test_many_short_runs_are_one_side(self):
        for process, time in enumerate(times()):
            run = f"r{process}"
            write(self.top / "base" / run, rows([time], run_id=run), facts=env(run))
            write(self.top / "new" / run, rows([1.1 * time], run_id=run), facts=env(run))
        code, out, _ = self.run_compare(self.top / "base", self.top / "new")
        self.assertEqual(code, 1, out)

    def test_usage_and_malformed(self):
        base, new = self.sides(times(), times())
        for arguments in ([], [base], [base, new, new], [base, new, "--floor=101"], [base, new, "--format=xml"],
                          [base, new, "--write=json"], [base, new, "--cross", "--aa"], [base, new, "--confirm", base]):
            self.assertEqual(self.run_compare(*arguments)[0], 2, arguments)
        self.refused("nowhere: No such file", base, self.top / "nowhere", code=2)
        text = (new / "results.csv").read_text()
        (new / "results.csv").write_text(text.replace("cpu.avx2", "cpu,avx2", 1))
        self.refused("results.csv: line 2, column ", base, new, code=2)

    def test_a_file_alone(self):
        base, new = self.sides(times(), times(2))
        code, out, _ = self.run_compare(base / "results.csv", new / "results.csv")
        self.assertEqual(code, 1)
        self.assertIn("its compiler is not known", out)

    def test_across_machines(self):
        facts = {"base": env(cpu="Small"), "new": env(cpu="Big")}
        base, new = self.sides(times(), list(rows(times(0.25), hardware_id="there", device="cuda:0", threads="")), facts=facts)
        for form in ("text", "markdown"):
            code, out, _ = self.run_compare(base, new, "--cross", f"--format={form}")
            self.assertEqual(code, 0)
            for words in ("omparing hardware", "Small", "Big", "4.00", "cuda:0"):
                self.assertIn(words, out)
        code, out, _ = self.run_compare(base, new, "--cross", "--format=json")
        (row,) = json.loads(out)["measurements"]
        self.assertAlmostEqual(row["speed_up"], 4)
        slower = self.sides(times(), list(rows(times(4), hardware_id="there")))
        self.assertEqual(self.run_compare(*slower, "--cross")[0], 0)

    def test_across_dtypes(self):
        other = list(rows(times(0.5), dtype="bf16", case=CASE.replace("fp32", "bf16")))
        code, out, _ = self.run_compare(*self.sides(times(), other), "--cross", "--format=json")
        (row,) = json.loads(out)["measurements"]
        self.assertAlmostEqual(row["speed_up"], 2)

    def test_the_noise_floor(self):
        for name, factor in (("a", 1), ("b", 1.02), ("c", 1.02)):
            write(self.top / name, rows(times(factor)))
        code, out, _ = self.run_compare("--aa", *(self.top / n for n in "abc"), "--format=json")
        told = json.loads(out)
        self.assertEqual((code, told["pairs"], told["processes"]), (0, 3, 15))
        self.assertAlmostEqual(told["aa_floor"], 0.02, 6)
        halves = write(self.top / "d", rows([1, 1.1] * 8))
        code, out, _ = self.run_compare("--aa", halves)
        self.assertIn("--floor=10.00%", out)
        other = write(self.top / "e", rows(times(), build_id="b2"))
        self.refused("several builds", "--aa", self.top / "a", other)
        self.refused("twice", "--aa", write(self.top / "f", rows([1])))


class Gradients(Folders):
    def curve(self, base, new, **changed):
        """The one curve's verdict, of two lists of points."""
        base = [{**POINT, **changed, **point} for point in base]
        new = [{**POINT, **changed, **point} for point in new]
        code, told = self.verdicts(times(), times(), gradients={"base": base, "new": new})
        (curve,) = told["gradients"]
        self.assertEqual(code == 1, curve["verdict"] == "differs")
        return curve["verdict"], curve["reason"]

    def test_within_and_beyond(self):
        within, beyond = (-1 + change / math.log(10) for change in (9e-6, 1.1e-5))
        self.assertEqual(self.curve([{}], [{"log10_norm_exact": within}]), ("same", ""))
        verdict, reason = self.curve([{}, {"layer": 2}], [{}, {"layer": 2, "log10_norm_exact": beyond}])
        self.assertEqual(verdict, "differs")
        self.assertIn("dh, layer 2: ln of the norm", reason)

    def test_what_a_sign_or_a_nan_does(self):
        for value in ("nan", "inf", "-inf", -40):
            self.assertEqual(self.curve([{}], [{"log10_norm_exact": value, "log10_norm": value}])[0], "differs")
        for value in ("nan", "inf", "-inf"):
            both = [{"log10_norm_exact": value, "log10_norm": value}]
            self.assertEqual(self.curve(both, both)[0], "same")

    def test_the_census(self):
        self.assertIn("mean |f'|", self.curve([{}], [{"mean_abs_derivative": 0.51}])[1])

    def test_the_plain_norm_is_not_compared(self):
        self.assertEqual(self.curve([{}], [{"log10_norm": -30}])[0], "same")

    def test_points_that_are_gone(self):
        self.assertIn("2 points in BASE, 1 in NEW", self.curve([{}, {"layer": 2}], [{}])[1])

    def test_the_same_of_every_run_counts_once(self):
        self.assertEqual(self.curve([{}, {"run_id": "r2"}], [{}])[0], "same")

    def test_tolerances_are_those_of_the_header(self):
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        kinds = [(d, k, r, p, f) for d in vgtolerance.EPS for k in (0, 1) for r in (1, 96, 1e6) for p in (0, 1, 700)
                 for f in (1, 0.25, 0.01)]
        chaos = [(layers, w, b, f) for layers in (1, 900) for w in (1, 256) for b in (1, 32) for f in (1, 0.01)]
        lines = [f'vg_tolerance_norm(VG_{d.upper()}, {k}, {r}, {p}, {f})' for d, k, r, p, f in kinds]
        lines += [f'vg_tolerance_chaos({a}, {b}, {c}, {d})' for a, b, c, d in chaos]
        source = ('#include "vg/tolerance.h"\n#include <stdio.h>\nint main(void) {'
                  + "".join(f'printf("%.17g\\n", {line});' for line in lines) + "}")
        include = pathlib.Path(__file__).resolve().parent.parent / "include"
        subprocess.run([compiler, f"-I{include}", "-xc", "-", "-o", self.top / "table", "-lm"], input=source,
                       text=True, check=True)
        table = subprocess.run([self.top / "table"], capture_output=True, text=True, check=True).stdout.split()
        ours = [vgtolerance.norm(*kind) for kind in kinds] + [vgtolerance.chaos(*c) for c in chaos]
        self.assertEqual(len(table), len(ours))
        for line, expected, got in zip(lines, table, ours):
            self.assertAlmostEqual(got / float(expected), 1, 12, line)

    def test_what_stands_further_from_the_loss_may_differ_more(self):
        shape = dict(model="lstm", dtype="fp32", depth=2, width=8, input=8, seq_len=1000, batch=2)
        shape = type("Shape", (), shape)
        far = vgcurves.Tolerance("lstm/d2", shape, 0.1, 1.0)
        self.assertGreater(far.at(1, 0), far.at(2, 999))
        self.assertEqual(vgcurves.Tolerance("rnn-relu/d2", shape, 1, 1.0).at(2, 999), 0.02)
        self.assertGreaterEqual(vgcurves.Tolerance("lstm/d2", shape, 1, 1.1).at(2, 999), 0.5)


class Formats(Folders):
    def setUp(self):
        super().setUp()
        table = [list(rows(times(), case="a")) + list(rows(times(), **{"pass": "fwd"})),
                 list(rows(times(1.1), case="a")) + list(rows(times(), **{"pass": "fwd"}))]
        self.pair = self.sides(*table)

    def told(self, form):
        code, out, _ = self.run_compare(*self.pair, f"--format={form}")
        self.assertEqual(code, 1)
        return out

    def test_text(self):
        out = self.told("text")
        self.assertLess(max(map(len, out.splitlines())), 80, out)
        self.assertIn("1 slower, 1 same: a regression.", out)
        self.assertRegex(out, r"(?m)^  cpu.avx2 train +1000 +1100 +1.818 +1.100 +1.\d\d-1.\d\d  slower$")

    def test_markdown(self):
        out = self.told("markdown")
        self.assertTrue(out.startswith("### Regression\n"), out)
        table = [line for line in out.splitlines() if line.startswith("|")]
        self.assertEqual({line.count("|") for line in table}, {8})
        self.assertIn("**slower** (not confirmed by a second run)", out)

    def test_files_beside_stdout(self):
        files = {form: self.top / form for form in compare.FORMATS}
        code, out, _ = self.run_compare(*self.pair, *(f"--write={form}:{file}" for form, file in files.items()))
        self.assertEqual((code, out), (1, files["text"].read_text()))
        for form, file in files.items():
            self.assertGreater(file.stat().st_size, 100, form)

    def test_google_benchmark(self):
        told = json.loads(self.told("google-benchmark"))
        self.assertEqual(len(told["benchmarks"]), 30)
        first = told["benchmarks"][0]
        self.assertEqual((first["run_type"], first["repetitions"], first["time_unit"]), ("iteration", 15, "ns"))
        self.assertAlmostEqual(first["real_time"], 1.1e9 * NOISE[0], 0)
        self.assertEqual(first["name"], "a/cpu.avx2/train/threads:2/core/keep")
        self.assertIn("date", told["context"])

    def test_github_action_benchmark(self):
        (slow, _), (fast, _) = (json.loads(self.told(f"custom{kind}IsBetter")) for kind in ("Smaller", "Bigger"))
        self.assertEqual((slow["unit"], fast["unit"], slow["name"]), ("ms", "items/s", fast["name"]))
        self.assertAlmostEqual(slow["value"], 1100)
        self.assertAlmostEqual(fast["value"], 2 / 1.1)

    def test_bencher(self):
        told = json.loads(self.told("bencher"))["a/cpu.avx2/train/threads:2/core/keep"]
        self.assertEqual(set(told), {"latency", "throughput"})
        for measure in told.values():
            self.assertTrue(measure["lower_value"] < measure["value"] < measure["upper_value"])

    def test_one_side_alone(self):
        for form in ("google-benchmark", "bencher", "otava", "customBiggerIsBetter"):
            code, out, errors = self.run_compare(self.pair[0], f"--format={form}")
            self.assertTrue(code == 0 and out, errors)

    def test_settings_that_vary_are_named(self):
        both = list(rows(times())) + list(rows(times(), threads=1))
        _, out, _ = self.run_compare(*self.sides(both, both))
        self.assertTrue(re.search(r"cpu.avx2 train x1 ", out) and re.search(r"cpu.avx2 train x2 ", out), out)


class Simulated(unittest.TestCase):
    """2 % of noise, 20 cases, 15 processes a side, seeds that do not change."""

    CASES, PROCESSES, NOISE = 20, 15, 0.02

    def run_once(self, draw, factors):
        """For each case whether it is flagged and a second run confirms it."""
        def pairs():
            shape = (self.CASES, self.PROCESSES)
            return list(zip(draw.normal(1, self.NOISE, shape), factors[:, None] * draw.normal(1, self.NOISE, shape)))

        found, second = vgstats.find(pairs(), 0.03), pairs()
        return numpy.array([f.flagged and vgstats.confirms(f, *pair) for f, pair in zip(found, second)])

    def share_found(self, slow, runs):
        draw = numpy.random.default_rng(2)
        factors = numpy.where(numpy.arange(self.CASES) < slow, 1.05, 1.0)
        found = sum(self.run_once(draw, factors)[:slow].sum() for _ in range(runs))
        return found / slow / runs

    def test_a_slow_down_is_found(self):
        runs = 1000 if SLOW else 100
        for slow in (1, 20):
            self.assertGreaterEqual(self.share_found(slow, runs), 0.95, f"{slow} of 20 slower")

    def test_no_alarm_without_cause(self):
        draw, runs = numpy.random.default_rng(3), 3000 if SLOW else 200
        alarms = sum(self.run_once(draw, numpy.ones(self.CASES)).any() for _ in range(runs))
        self.assertLess(alarms, 0.01 * runs)


if __name__ == "__main__":
    unittest.main(argv=[argument for argument in sys.argv if argument != "--slow"])
