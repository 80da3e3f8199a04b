"""The verdicts of scripts/compare.py on folders made up for it, and which it compares at all.
Exits 77 where its packages are not here."""
import csv
import json
import unittest
import unittest.mock

import made_results
from compared_folders import WIDE, Folders, times
from made_results import CASE, POINT, env, rows, write

import vgstats


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


if __name__ == "__main__":
    unittest.main()
