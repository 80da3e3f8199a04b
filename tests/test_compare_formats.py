"""What scripts/compare.py prints and writes. Exits 77 where its packages are not here."""
import json
import re
import unittest

from compared_folders import NOISE, Folders, times
from made_results import rows

import compare


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


if __name__ == "__main__":
    unittest.main()
