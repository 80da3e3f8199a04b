"""The gradients that scripts/compare.py sets beside each other. Exits 77 where its packages are not here."""
import math
import pathlib
import shutil
import subprocess
import unittest

from compared_folders import Folders, times
from made_results import POINT

import vgcurves
import vgtolerance


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


if __name__ == "__main__":
    unittest.main()
