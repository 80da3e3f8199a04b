#!/usr/bin/env python3
"""scripts/merge.py on folders made up for it. Exits 77 where its packages are not here."""
import contextlib
import io
import json
import pathlib
import shutil
import tempfile
import unittest

import made_results as made
import merge
import vgresults


class Merge(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="vg_merge_"))
        self.addCleanup(shutil.rmtree, self.top)
        self.out = self.top / "all"

    def run_of(self, name, **changed):
        """A folder of one run of that name, with a point of a curve and a description."""
        changed = {"run_id": name, **changed}
        return made.write(self.top / name, list(made.rows([1.0, 2.0], **changed)),
                          [{**made.POINT, "run_id": name}], facts=made.env(name))

    def merge(self, *folders, out=None):
        text, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(errors):
            code = merge.main([*map(str, folders), f"--out={out or self.out}"])
        return code, text.getvalue(), errors.getvalue()

    def left(self):
        return sorted(p.name for p in self.top.iterdir())

    def test_two_machines(self):
        code, text, _ = self.merge(self.run_of("r1"), self.run_of("r2", hardware_id="there"))
        self.assertEqual((code, text), (0, f"{self.out}: 12 results of 2 runs on 2 kinds of hardware\n"))
        joined = vgresults.read(self.out)
        self.assertEqual((len(joined.results), len(joined.gradients)), (12, 2))
        self.assertEqual(set(joined.env), {"r1", "r2"})
        self.assertEqual(json.loads((self.out / "runs/r2/env.json").read_text())["run_id"], "r2")

    def test_rows_stay_byte_for_byte(self):
        one = self.run_of("r1", time_s="0.10000000000000001", reason='"a, ""b"""')
        self.merge(one)
        self.assertEqual((self.out / "results.csv").read_bytes(), (one / "results.csv").read_bytes())

    def test_an_overlap_is_taken_once(self):
        self.merge(self.run_of("r1"), self.run_of("r2"))
        code, text, _ = self.merge(self.out, self.top / "r2", self.run_of("r3"), out=self.top / "more")
        self.assertIn("18 results of 3 runs on 1 kind of hardware", text)
        self.assertIn("; 6 were there more than once", text)
        self.assertEqual((code, len(vgresults.read(self.top / "more").results)), (0, 18))

    def test_a_conflict_names_both_and_writes_nothing(self):
        one, other = self.run_of("r1"), self.top / "copy"
        shutil.copytree(one, other)
        path = other / "results.csv"
        path.write_text(path.read_text().replace("train,2,core", "train,2,core", 1).replace(",0.5,", ",0.75,", 1))
        code, _, errors = self.merge(one, other)
        self.assertEqual(code, 1)
        self.assertRegex(errors, r"copy/results.csv: line \d+: other values than in .*r1/results.csv: line \d+")
        self.assertEqual(self.left(), ["copy", "r1"])

    def test_another_description_of_the_same_run_is_a_conflict(self):
        one, other = self.run_of("r1"), self.top / "copy"
        shutil.copytree(one, other)
        (other / "env.json").write_text(json.dumps(made.env("r1", cpu="another")))
        code, _, errors = self.merge(one, other)
        self.assertEqual(code, 1)
        self.assertIn("another description of r1", errors)

    def test_columns_of_a_later_version_are_kept(self):
        one, other = self.run_of("r1"), self.run_of("r2")
        path = other / "results.csv"
        head, *lines = path.read_text().splitlines()
        path.write_text("\n".join([head + ",more", *(line + ",7" for line in lines), ""]))
        self.assertEqual(self.merge(one, other)[0], 0)
        more = vgresults.read(self.out).results.set_index("run_id").more
        self.assertTrue((more["r2"] == 7).all() and more["r1"].isna().all())

    def test_other_columns_are_refused(self):
        one, other = self.run_of("r1"), self.run_of("r2")
        path = other / "results.csv"
        path.write_text(path.read_text().replace("reason,verified", "verified,reason", 1))
        self.assertEqual(self.merge(one, other)[0], 1)

    def test_bad_input(self):
        one = self.run_of("r1")
        (self.top / "empty").mkdir()
        for source, part in ((self.top / "none", "no such folder"), (self.top / "empty", "no results.csv")):
            code, _, errors = self.merge(one, source)
            self.assertEqual((code, errors.count("\n")), (2, 1), errors)
            self.assertIn(part, errors)
        path = one / "results.csv"
        path.write_text(path.read_text().replace("\n1,", "\n9,", 1))
        code, _, errors = self.merge(one)
        self.assertEqual(code, 2)
        self.assertRegex(errors, r"results.csv: line 2, column 1: schema_version 9, expected 1")
        self.assertEqual(self.left(), ["empty", "r1"])

    def test_nothing_is_written_elsewhere(self):
        one = self.run_of("r1")
        (one / "env.json").write_text(json.dumps(made.env("../../escaped")))
        code, _, errors = self.merge(one, out=self.top / "deep" / "all")
        self.assertEqual((code, errors.count("\n")), (2, 1), errors)
        self.assertEqual(self.left(), ["r1"])

    def test_a_torn_last_line_is_left_out(self):
        one = self.run_of("r1")
        with (one / "results.csv").open("a", encoding="utf-8") as file:
            file.write("1,half a li")
        self.assertEqual(self.merge(one)[0], 0)
        self.assertEqual(len(vgresults.read(self.out).results), 6)

    def test_what_is_there_is_not_overwritten(self):
        one = self.run_of("r1")
        self.out.mkdir()
        (self.out / "mine").write_text("kept")
        code, _, errors = self.merge(one)
        self.assertEqual((code, errors), (4, f"merge.py: {self.out}: is there already, and is not empty\n"))
        self.assertEqual((self.out / "mine").read_text(), "kept")
        self.assertEqual(self.left(), ["all", "r1"])


if __name__ == "__main__":
    unittest.main()
