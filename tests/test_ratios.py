"""scripts/ratios.py on tables made up for it. Exits 77 where its packages are not here."""
import contextlib
import csv
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
try:
    import ratios
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

COLUMNS = ["run_id", "case", "status", "verified", "device", "implementation", "dtype", "threads", "bind",
           "denormals", "pass", "process", "repetition", "interleaved", "time_s", "percent_of_peak",
           "percent_of_floor", "throttle", "disturbed"]


def rows(device, implementation, times, **changed):
    """A row for each process and three repetitions, the middle one at the process's time."""
    for process, time in enumerate(times):
        for repetition, factor in enumerate((0.5, 1, 9)):
            yield {"run_id": "r", "case": "lstm/d1", "status": "ok", "verified": "full", "device": device,
                   "implementation": implementation, "dtype": "fp32", "threads": 1, "bind": "core",
                   "denormals": "keep", "pass": "train", "process": process, "repetition": repetition,
                   "interleaved": 1, "time_s": time * factor, "percent_of_peak": 50,
                   "percent_of_floor": 60, "throttle": "", "disturbed": 0, **changed}


def call(*arguments):
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = ratios.main([str(argument) for argument in arguments])
    return code, out.getvalue(), errors.getvalue()


def run(table, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        with open(pathlib.Path(folder) / "results.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
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
            code, out, _ = run(good + peer([100] * 9, **change))
            self.assertTrue(code == 0 and " 2.000 " in out, (change, out))
            code, _, errors = run(ours(TIMES) + peer(TIMES, **change))
            self.assertTrue(code == 2 and errors.startswith("ratios.py: no case"), (change, errors))

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


if __name__ == "__main__":
    unittest.main()
