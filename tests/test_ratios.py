"""scripts/ratios.py on tables made up for it. Exits 77 where its packages are not here."""
import contextlib
import csv
import io
import pathlib
import tempfile
import unittest

from made_results import HEADERS, ROW

import goals
import ratios

COLUMNS = [*HEADERS["results"], *ratios.NEEDED]


def rows(device, implementation, times, **changed):
    """A row for each process and three repetitions, the middle one at the process's time."""
    for process, time in enumerate(times):
        for repetition, factor in enumerate((0.5, 1, 9)):
            yield {**ROW, "case": "lstm/d1", "device": device, "implementation": implementation, "threads": 1,
                   "process": process, "repetition": repetition, "interleaved": 1, "time_s": time * factor,
                   "percent_of_peak": 50, "percent_of_floor": 60, "gflop_per_s": 60, "peak_gflop_per_s": 120,
                   **changed}


def call(*arguments):
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = ratios.main([str(argument) for argument in arguments])
    return code, out.getvalue(), errors.getvalue()


def write(folder, table):
    with open(pathlib.Path(folder) / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def run(table, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, table)
        return call(folder, *arguments)


def ours(times, **changed):
    return list(rows("cpu.avx512", "vgbench 0.1.0", times, **changed))


def peer(times, **changed):
    return list(rows("cpu.onednn", "oneDNN 2.6.3", times, **changed))


TIMES = [1.00, 1.01, 0.99, 1.02, 0.98]


class Ratios(unittest.TestCase):
    def test_faster(self):
        code, out, _ = run(ours(TIMES) + peer([2 * t for t in TIMES]))
        self.assertTrue(code == 0 and " 2.000 " in out and "faster" in out, out)

    def test_slower(self):
        code, out, _ = run(ours([1.5 * t for t in TIMES]) + peer(TIMES))
        self.assertTrue(code == 1 and " 0.667 " in out and "slower" in out, out)

    def test_near_is_no_failure(self):
        code, out, _ = run(ours([1.5 * t for t in TIMES]) + peer(TIMES), "--least=0.5")
        self.assertTrue(code == 0 and "near" in out, out)

    def test_same(self):
        code, out, _ = run(ours(TIMES) + peer(list(reversed(TIMES))))
        self.assertTrue(code == 0 and out.splitlines()[1].endswith(" same"), out)

    def test_few_processes_tell_nothing(self):
        code, out, _ = run(ours([1.5] * 3) + peer([1] * 3))
        self.assertTrue(code == 0 and "cannot tell" in out, out)

    def test_what_does_not_count(self):
        good = ours(TIMES) + peer([2 * t for t in TIMES])
        for change in ({"verified": "no"}, {"interleaved": 0}, {"disturbed": 1}, {"status": "mismatch"}):
            code, out, _ = run(good + peer([100] * 9, run_id="another", **change))
            self.assertTrue(code == 0 and " 2.000 " in out, (change, out))
            code, _, errors = run(ours(TIMES) + peer(TIMES, **change))
            self.assertTrue(code == 2 and errors.startswith("ratios.py: no case"), (change, errors))

    def test_a_peak_below_a_rate_that_was_seen_counts_nothing(self):
        table = ours(TIMES) + peer([2 * t for t in TIMES])
        table += peer([100] * 9, run_id="another", peak_gflop_per_s=59) + peer(TIMES, threads=2, gflop_per_s=500)
        code, out, _ = run(table)
        self.assertTrue(code == 0 and " 2.000 " in out, out)
        self.assertIn("\n42 rows left out", out)

    def test_machines_are_not_mixed(self):
        table = ours(TIMES) + peer([2 * t for t in TIMES])
        there = {"hardware_id": "there", "run_id": "r2", "gflop_per_s": 600, "peak_gflop_per_s": 1200}
        table += ours([t / 10 for t in TIMES], **there) + peer([t / 40 for t in TIMES], **there)
        code, out, _ = run(table)
        self.assertEqual((code, "rows left out" in out), (1, False), out)
        self.assertRegex(out, r"cpu.avx512 @ here / cpu.onednn +fp32 +1 +1 +2.000 +2.000")
        self.assertRegex(out, r"cpu.avx512 @ there / cpu.onednn +fp32 +1 +1 +0.250 +0.250")
        self.assertNotIn("@", run(ours(TIMES) + peer(TIMES))[1])

    def test_a_gpu_of_one_thread_leaves_no_processor_out(self):
        gpu = {"gflop_per_s": 9000, "peak_gflop_per_s": 50_000}
        table = ours(TIMES) + peer([2 * t for t in TIMES])
        for index in (0, 1):
            table += rows(f"cuda:{index}", "vgbench 0.1.0", TIMES, **gpu)
            table += rows(f"cuda.cudnn:{index}", "cuDNN 9", [(3 + index) * t for t in TIMES], **gpu)
        code, out, _ = run(table)
        self.assertEqual((code, "rows left out" in out), (0, False), out)
        pairs = [line.split()[:3:2] + line.split()[6:7] for line in out.split("\n\n")[1].splitlines()[1:]]
        self.assertEqual(pairs, [["cpu.avx512", "cpu.onednn", "2.000"], ["cuda:0", "cuda.cudnn:0", "3.000"],
                                 ["cuda:1", "cuda.cudnn:1", "4.000"]], out)

    def test_geometric_mean(self):
        table = ours(TIMES) + peer([2 * t for t in TIMES])
        table += ours(TIMES, case="gru/d1") + peer([8 * t for t in TIMES], case="gru/d1")
        code, out, _ = run(table, "--markdown")
        self.assertTrue(code == 0 and "| 4.000 | 2.000 | lstm/d1 |" in out, out)

    def test_bad_input(self):
        code, _, errors = run([])
        self.assertTrue(code == 2 and errors.count("\n") == 1, errors)
        code, _, errors = call("/nowhere")
        self.assertTrue(code == 2 and errors.count("\n") == 1, errors)

    def test_a_run_below_the_folder_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "run").mkdir()
            write(pathlib.Path(folder) / "run", ours(TIMES) + peer(TIMES))
            self.assertEqual(call(folder)[0], 0)

    def test_a_malformed_number_is_named(self):
        code, _, errors = run(ours(TIMES) + peer(TIMES, percent_of_peak="fast"))
        self.assertEqual(code, 2)
        self.assertRegex(errors, "^ratios.py: .*results.csv: line 17, column [0-9]+: percent_of_peak: 'fast' is not a number\n$")


def whole_grid(ratio=3, **of_case):
    """Both sides of every case of the preset; of_case(case, threads): what is other in ours."""
    for row in goals.grid().itertuples():
        common = {"case": row.case, "threads": row.threads}
        changed = {"percent_of_peak": 95, "percent_of_floor": 90}
        for pattern, other in of_case.items():
            if pattern == f"{row.model}_{row.width:.0f}_{row.batch:.0f}_{row.threads}":
                changed.update(other)
        faster = changed.pop("ratio", ratio)
        yield from ours(TIMES, **common, **changed)
        yield from peer([faster * t for t in TIMES], **common)


def verdicts(out):
    """The last word of each goal's line by the line's first words."""
    return {line.split(" | ")[0].lstrip("| "): line.split(" | ")[-1].rstrip(" |")
            for line in out.splitlines() if line.startswith("| ")}


class Goals(unittest.TestCase):
    def judge(self, table, *arguments):
        code, out, errors = run(table, "--goals", "--markdown", *arguments)
        self.assertEqual(errors, "")
        return code, verdicts(out), out

    def missed(self, **of_case):
        code, found, _ = self.judge(whole_grid(**of_case))
        self.assertEqual(code, 1)
        return sorted(name for name, verdict in found.items() if verdict == "missed")

    def test_all_met(self):
        code, found, out = self.judge(whole_grid())
        self.assertEqual(code, 0, out)
        self.assertEqual(sum(verdict == "met" for verdict in found.values()), 9, out)

    def test_each_goal_can_be_missed(self):
        long_case, large = "(1024,1,256)", "large"
        self.assertEqual(self.missed(lstm_256_1_2={"percent_of_floor": 84}), [f"{long_case}: % of the floor"])
        self.assertEqual(self.missed(gru_256_2_1={"percent_of_floor": 79}),
                         ["other batches <= 4, T >= 256: % of the floor"])
        self.assertEqual(self.missed(gru_512_64_1={"percent_of_peak": 91}),
                         [f"{large}, 1 thread: % of the FMA peak"])
        self.assertEqual(self.missed(stack_1024_128_2={"percent_of_peak": 87}),
                         [f"{large}, 2 threads: % of the FMA peak"])
        self.assertEqual(self.missed(stack_512_32_1={"ratio": 1.29}), ["stacks, batch 32, depth 64: ratio"])
        self.assertEqual(self.missed(rnn_333_3_1={"ratio": 0.5}),
                         ["every case: ratio >= 0.97, or no difference"])
        self.assertEqual(self.missed(rnn_256_1_2={"ratio": 1}, lstm_256_1_2={"ratio": 1.5}),
                         [f"{long_case}, 2 threads: ratio, geometric mean"])
        self.assertEqual(self.missed(ratio=1.1)[-1], "whole grid: ratio, geometric mean")

    def test_what_is_missing_is_not_met(self):
        table = [row for row in whole_grid() if not row["case"].startswith("gru/d1/w333")]
        code, found, out = self.judge(table)
        self.assertEqual(code, 0, out)
        self.assertEqual([found[name] for name in found if name.startswith(("every", "whole", "other"))],
                         ["incomplete"] * 3, out)

    def test_known_figures_hold_for_their_processor_alone(self):
        case = "stack-tanh/d64/w512/b32/fp32/xavier/seed1"
        for peak, share, left_out, word in ((262, 50, True, None), (262, 56, False, "rule"),
                                            (120, 50, False, "hint")):
            table = ours(TIMES, case=case, peak_gflop_per_s=peak) + ours(TIMES)
            table += peer([2 * t for t in TIMES], case=case, peak_gflop_per_s=peak, percent_of_peak=share)
            table += peer([2 * t for t in TIMES])
            _, _, out = self.judge(table)
            self.assertEqual("1 cases left out" in out, left_out, out)
            if word:
                self.assertRegex(out, rf"58 to 64 \| {word} \|")

    def test_growth(self):
        def grown(seconds, floor):
            for steps, time in ((512, 1), (4096, seconds)):
                yield from ours([time], case=f"lstm/d1/w256/b1/t{steps}/fp32/uniform/seed1")
            for depth in (8, 64, 256):
                yield from ours([1], case=f"stack-tanh/d{depth}/w256/b32/fp32/xavier/seed1",
                                percent_of_floor=floor)
        for seconds, floor, wanted in ((8.7, 81, ["met"] * 4), (8.9, 81, ["missed"] + ["met"] * 3),
                                       (8.7, 79, ["met"] + ["missed"] * 3)):
            with tempfile.TemporaryDirectory() as folder:
                write(folder, grown(seconds, floor))
                code, found, out = self.judge(whole_grid(), f"--growth={folder}")
                self.assertEqual(list(found.values())[-4:], wanted, out)
                self.assertEqual(code, int("missed" in wanted))


if __name__ == "__main__":
    unittest.main()
