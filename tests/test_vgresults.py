"""scripts/vgresults.py on folders made up for it. Exits 77 where its packages are not here."""
import json
import math
import pathlib
import tempfile
import unittest

import made_results
import vgresults

HEADER = [*made_results.HEADERS["results"], "later"]


def text_of(*changes):
    rows = [",".join(str({**made_results.ROW, "later": 1, "repetition": i, **change}[name]) for name in HEADER)
            for i, change in enumerate(changes)]
    return "\n".join([",".join(HEADER), *rows, ""])


class Reading(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)

    def write(self, text, name="results.csv"):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def refused(self, text, *expected, name="results.csv", kind=vgresults.Malformed):
        path = self.write(text, name)
        with self.assertRaises(kind) as raised:
            vgresults.read(self.top)
        message = str(raised.exception)
        for part in (str(path), *expected):
            self.assertIn(part, message)
        self.assertEqual(len(message.splitlines()), 1)

    def test_values(self):
        self.write(text_of({"time_s": ""}, {"time_s": "inf"}, {"reason": '"a\nb, ""c"""'}))
        rows = vgresults.read(self.top).results
        self.assertTrue(math.isnan(rows.time_s[0]) and math.isinf(rows.time_s[1]), rows.time_s)
        self.assertEqual(list(rows.reason), ["", "", 'a\nb, "c"'])
        self.assertEqual(list(rows.line), [2, 3, 4])

    def test_what_is_malformed_is_named(self):
        good = text_of({}, {})
        time = HEADER.index("time_s") + 1
        self.refused(text_of({}, {"time_s": "1,5"}), "line 3", f"{len(HEADER) + 1} fields")
        self.refused(text_of({}, {"time_s": "fast"}), f"line 3, column {time}: time_s: 'fast'")
        for text in ("inf", "-1", "nan", "0.5", "1e3", "9" * 20, "²"):
            self.refused(text_of({}, {"process": text}), f"line 3, column {HEADER.index('process') + 1}: process")
        self.refused(text_of({"reason": '"a"b'}), "line 2")
        self.refused(text_of({"reason": '"a'}), "line 2")
        self.refused("", "line 1, column 1: no header")
        self.refused(good.replace("time_s", "times"), "line 1", "no column time_s")
        self.refused(good.replace("later", "case"), "line 1", "case for the second time")
        self.refused(good.replace("avx2", "av\0x2", 1), "line 2", "NUL")
        self.refused(good.encode() + b"\xff\n", "line 4, column 1: not UTF-8")
        self.refused(text_of({"schema_version": "2"}), "line 2, column 1", "schema_version 2",
                     kind=vgresults.OtherSchema)
        self.refused(text_of({}, {"repetition": "0"}), "line 3", "there already")

    def test_a_later_schema_can_be_asked_for(self):
        self.write(text_of({"schema_version": "2"}))
        self.assertEqual(len(vgresults.read(self.top, any_schema=True).results), 1)

    def test_a_torn_last_line_is_dropped(self):
        self.write(text_of({}, {}) + "1,lst")
        self.assertEqual(len(vgresults.read(self.top).results), 2)

    def test_carriage_returns(self):
        self.write(text_of({}, {}).replace("\n", "\r\n"))
        self.assertEqual(list(vgresults.read(self.top).results.later), [1, 1])

    def test_many_runs_below_one_folder(self):
        for run in ("r1", "r2"):
            self.write(text_of({"run_id": run}), f"{run}/results.csv")
            self.write(json.dumps({"run_id": run, "host": run}), f"{run}/env.json")
        both = vgresults.read(self.top)
        self.assertEqual((len(both.results), both.env["r2"]["host"]), (2, "r2"))
        one = both.only(["r2"])
        self.assertEqual((list(one.results.run_id), list(one.env)), (["r2"], ["r2"]))

    def test_a_broken_env(self):
        self.write(text_of({}))
        self.refused('{"run_id": "r1",\n 5}', "line 2, column 2", name="env.json")
        self.refused('[]', "no run_id", name="env.json")
        for run_id in ("../../escaped", "/etc", "..", ".hidden", "", "a b", 5, None, "é"):
            self.refused(json.dumps({"run_id": run_id}), "run_id: expected letters", name="env.json")
        for key, value in (("build", "x"), ("build", {"commit": 5}), ("machine", []), ("machine", {"gpus": None}),
                           ("devices", None), ("devices", {}), ("devices", ["cpu"]), ("devices", [{"name": 1}]),
                           ("schema_version", "1"), ("schema_version", True), ("schema_version", 0)):
            self.refused(json.dumps({"run_id": "r1", key: value}), key, name="env.json")
        self.refused('{"run_id": "r1", "a": ' + "9" * 5000 + "}", "line 1", name="env.json")
        self.refused('{"run_id": "r1", "a": ' + "[" * 100_000 + "}", "line 1", name="env.json")
        later = json.dumps({"run_id": "r1", "schema_version": 99})
        self.refused(later, "schema_version 99", name="env.json", kind=vgresults.OtherSchema)
        self.assertIn("r1", vgresults.read(self.top, any_schema=True).env)

    def test_a_folder_without_results(self):
        with self.assertRaises(vgresults.Empty):
            vgresults.read(self.top)
        with self.assertRaises(vgresults.Malformed):
            vgresults.read(self.top / "nowhere")

    def test_samples_are_medians_of_what_counts(self):
        rows = [{"time_s": t} for t in ("1", "2", "9")]
        rows += [{"time_s": "5", "disturbed": "1"}, {"status": "mismatch"}, {"verified": "no"}]
        rows += [{"process": "1", "time_s": "4"}]
        self.write(text_of(*rows))
        counted = vgresults.counted(vgresults.read(self.top).results)
        self.assertEqual(len(counted), 5)
        self.assertEqual(list(vgresults.samples(counted).time_s), [2, 4])


if __name__ == "__main__":
    unittest.main()
