"""scripts/golden.py beside a program made up for it, which hands out the rows that a test gives."""
import contextlib
import csv
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
import golden  # pylint: disable=wrong-import-position

SMOOTH = "rnn-tanh/d2/w19/i11/b5/t40/fp32/uniform/seed1"
KINK = "stack-relu/d16/w19/b5/fp32/he/seed1"
PROGRAM = """#!/bin/sh
for argument; do case $argument in --out=*) cp -r "$(dirname "$0")/made" "${argument#--out=}" ;; esac; done
"""


def gradients(**changed):
    """Rows of two cases; changed: the fields of the second one."""
    rows = [{"case": SMOOTH, "tensor": "dh", "layer": "1", "step": str(step), "norm": repr(0.5**step),
             "log10_norm_exact": repr(-0.3 * step), "mean_abs_derivative": "0.75"} for step in (0, 1, 40)]
    rows.append({"case": KINK, "tensor": "dweight", "layer": "16", "step": "", "norm": "0",
                 "log10_norm_exact": "-inf", "mean_abs_derivative": ""})
    rows[1] |= changed
    return rows


def table(rows):
    file = io.StringIO()
    lines = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return file.getvalue()


class Golden(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        (self.top / "made").mkdir()
        self.program = self.top / "bench"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.file = self.top / "golden.csv"
        self.file.write_text(table(gradients()))

    def call(self, *arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = golden.main([f"--program={self.program}", f"--golden={self.file}", *arguments])
        return code, out.getvalue()

    def made(self, rows, device="ref", implementation="vgbench 0.1.0", status="ok", reason=""):
        """What the program hands out."""
        (self.top / "made/results.csv").write_text(table([
            {"case": SMOOTH, "status": status, "reason": reason, "device": device,
             "implementation": implementation}]))
        (self.top / "made/gradients.csv").write_text(table([row | {"device": device} for row in rows]))

    def check(self, rows, *words, code=1, device="ref"):
        self.made(rows, device)
        done, out = self.call()
        self.assertEqual(done, code, out)
        for word in words:
            self.assertIn(word, out)

    def test_equal_rows_pass(self):
        self.check(gradients(), "ref: all 4 rows as in golden.csv", code=0)

    def test_a_difference_is_named_with_both_values(self):
        self.check(gradients(norm="0.50000001"), f"ref: {SMOOTH}: dh of layer 1, step 1: norm is 0.50000001, "
                   "golden 0.5: off by 2e-08 in ln, allowed 1e-09", "--write")
        self.check(gradients(log10_norm_exact="-0.2"), "log10_norm_exact is -0.2, golden -0.3: off by 0.23 in ln")
        self.check(gradients(mean_abs_derivative="0.7500001"), "mean_abs_derivative is 0.7500001, golden 0.75")

    def test_a_device_is_allowed_what_its_format_costs(self):
        self.check(gradients(norm="0.50000001"), code=0, device="cpu.avx2")
        self.check(gradients(norm="0.505"), f"cpu.avx2: {SMOOTH}", device="cpu.avx2")

    def test_a_kink_allows_more(self):
        rows = gradients()
        rows[3] |= {"norm": "1", "log10_norm_exact": "0"}
        self.file.write_text(table(rows))
        for norm, code in (("1.01", 0), ("1.03", 1), ("-1", 1)):
            rows[3]["norm"] = norm
            self.check(rows, code=code, device="cuda:0")

    def test_missing_and_extra_rows_are_named(self):
        self.check(gradients()[:-1], f"ref: {KINK}: dweight of layer 16: missing")
        self.check(gradients() + [gradients(step="7")[1]], f"{SMOOTH}: dh of layer 1, step 7: not in the golden file")

    def test_no_number_is_never_within_tolerance(self):
        for value in ("nan", "inf", "0", "-0.5", ""):
            self.check(gradients(norm=value), "step 1: norm is ")
        self.file.write_text(table(gradients(norm="nan")))
        self.check(gradients(norm="nan"), "norm is nan, golden nan")

    def test_many_differences_are_counted(self):
        rows = [row | {"layer": str(layer)} for layer in range(1, 9) for row in gradients()]
        self.check(rows, "ref: and 20 more")

    def test_spoilt_files_are_told(self):
        good = table(gradients())
        self.made(gradients())
        for text, word in ((good[:-3], "the last line is cut off"),
                           (good[:good.rindex(KINK)], "not in the golden file"),
                           (good[:good.rindex(",")] + "\n", "line 5: 6 fields, expected 7"),
                           (good.replace("0.5,", "half,"), "line 3: could not convert"),
                           (good.replace("tensor", "tenser"), "no column tensor"),
                           (good + good.splitlines()[1] + "\n", "line 6: a second row of " + SMOOTH),
                           (good.splitlines()[0] + "\n", "no rows"),
                           ("", "the last line is cut off")):
            self.file.write_text(text)
            code, out = self.call()
            self.assertEqual(code, 1, word)
            self.assertIn(word, out)
        self.file.unlink()
        self.assertIn("No such file", self.call()[1])

    def test_a_failed_case_is_named(self):
        self.made(gradients(), status="mismatch", reason="op 9 scan_bwd")
        self.assertEqual(self.call(), (1, f"ref: {SMOOTH}: mismatch: op 9 scan_bwd\n"))

    def test_a_program_that_fails_is_told(self):
        self.program.write_text("#!/bin/sh\necho no such preset >&2; exit 2\n")
        code, out = self.call()
        self.assertEqual(code, 1)
        self.assertIn("ended with 2:\nno such preset", out)
        self.program.unlink()
        self.assertIn("No such file", self.call()[1])

    def test_a_library_is_not_compared(self):
        self.made(gradients(norm="9"), "cpu.onednn", implementation="oneDNN 2.6.3", status="mismatch")
        code, out = self.call()
        self.assertEqual(code, 1)
        self.assertIn("none of these devices", out)

    def test_a_device_without_rows_fails(self):
        self.made(gradients())
        text = (self.top / "made/gradients.csv").read_text()
        (self.top / "made/gradients.csv").write_text(text.splitlines()[0] + "\n")
        code, out = self.call()
        self.assertEqual(code, 1)
        self.assertIn("step 0: missing", out)

    def test_some_cases_alone(self):
        self.made(gradients()[:3])
        code, out = self.call("--only=^rnn")
        self.assertEqual((code, out), (0, "ref: all 3 rows as in golden.csv\n"))
        self.assertEqual(self.call()[0], 1)
        self.assertIn("no rows", self.call("--only=cnn")[1])
        for arguments in (["--only=^rnn", "--write"], ["--only=("]):
            with self.assertRaises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()):
                self.call(*arguments)
            self.assertEqual(ended.exception.code, 2)

    def test_what_is_written_is_what_is_held(self):
        self.made(gradients(norm="0.12345678901234567"))
        self.assertEqual(self.call("--write")[0], 0)
        first = self.file.read_text()
        self.assertEqual(self.call()[0], 0)
        self.assertEqual(self.call("--write")[0], 0)
        self.assertEqual(self.file.read_text(), first)

    def test_only_numbers_are_written(self):
        before = self.file.read_text()
        for value in ("nan", "inf"):
            self.made(gradients(norm=value))
            code, out = self.call("--write")
            self.assertEqual((code, self.file.read_text()), (1, before))
            self.assertIn("step 1: ", out)


if __name__ == "__main__":
    unittest.main()
