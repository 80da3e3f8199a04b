"""scripts/report.py: what its page holds, and what it says of unusable folders. Exits 77 where its
packages are not here. Usage: test_report.py PROGRAM [unittest's own arguments]"""
import contextlib
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

from report_folders import FAILURES, HOSTILE, OTHER, ROOT, changed, hostile, run

try:
    import html5lib
    import numpy
    import pandas
    import report
    from report_page import curves, page, payload, summary, tables
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else None


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def texts(column):
    """The distinct values of a column of the data."""
    return [column["all"]] if "all" in column else column["names"]


def valid(text):
    """Raises where an HTML parser finds an error; the document."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vg_report_"))
        self.addCleanup(shutil.rmtree, self.folder)

    def call(self, *folders, code=0, output=None):
        errors, path = io.StringIO(), output or self.folder / "report.html"
        with contextlib.redirect_stderr(errors):
            got = report.main([*map(str, folders), "-o", str(path)])
        self.assertEqual(got, code, errors.getvalue())
        return path.read_text(encoding="utf-8") if code == 0 else errors.getvalue()


class Page(Folder):
    def test_of_the_program(self):
        text = self.call(*run(PROGRAM, self.folder))
        data = data_of(text)
        self.assertEqual([one["name"] for one in data["runs"]], ["depth", "remedies", "time"])
        words = " ".join(f"{one['lead']} {one['text']}" for one in data["summary"])
        self.assertIn("stack-sigmoid (xavier, fp32) 16 layers: the gradient vanishes", words)
        self.assertIn("lstm (uniform, fp32) 300 steps: the gradient vanishes", words)
        self.assertEqual({"dh", "dc", "dweight"} - set(texts(data["curves"]["tensor"])), set())
        self.assertEqual(data["points"]["start"][-1], len(data["points"]["x"]))

    def test_is_valid_and_alone(self):
        text = self.call(OTHER)
        document = valid(text)
        for element in document.iter():
            for name in ("src", "href", "action", "data"):
                value = element.get(name, "")
                self.assertTrue(value.startswith(("#", "data:")) or not value, f"{element.tag} {name}={value}")
        self.assertLess(len(text), 1_500_000)
        policy = document.find(".//meta[@http-equiv]").get("content")
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe-eval", policy)
        self.assertNotIn("script-src 'unsafe-inline'", policy)

    def test_devices_of_two_machines(self):
        def same_case(_, row):
            row.update({name: "other" for name in ("run_id", "hardware_id") if name in row})
        data = data_of(self.call(OTHER, changed(OTHER, self.folder / "second", same_case)))
        self.assertEqual(texts(data["rows"]["device"]), ["cpu.avx2 @ other", "cpu.avx2 @ second"])
        self.assertEqual(texts(data["rows"]["plain_device"]), ["cpu.avx2"])

    def test_builds_of_one_machine(self):
        """They are told apart by commit where it is known, and runs of one build are one device."""
        def renamed(name, commit):
            def change(_, row):
                row["run_id"] = name
                row.update({"build_id": commit} if "build_id" in row else {})
            folder = changed(OTHER, self.folder / name, change)
            environment = json.loads((folder / "env.json").read_text())
            environment["run_id"], environment["build"]["commit"] = name, commit
            (folder / "env.json").write_text(json.dumps(environment))
            return folder
        first, second, third = renamed("one", "aaaaaaaaaaaa"), renamed("two", "bbbbbbbbbbbb"), renamed("three", "bbbbbbbbbbbb")
        data = data_of(self.call(first, second, third))
        self.assertEqual(texts(data["rows"]["device"]), ["cpu.avx2 @ aaaaaaa", "cpu.avx2 @ bbbbbbb"])
        (second / "env.json").unlink()
        data = data_of(self.call(first, second))
        self.assertEqual(texts(data["rows"]["device"]), ["cpu.avx2 @ one", "cpu.avx2 @ two"])

    def test_the_subject_names_a_processor_once(self):
        def variant(_, row):
            row.update(run_id="scalar", device=row["device"].replace("avx2", "scalar"))
            if "device_name" in row:
                row["device_name"] = row["device_name"].replace("avx2", "scalar")
        text = self.call(OTHER, changed(OTHER, self.folder / "scalar", variant))
        self.assertIn("<title>vgbench: Another processor. ", text)

    def test_a_run_counts_once(self):
        once, twice = data_of(self.call(OTHER)), data_of(self.call(OTHER, OTHER))
        self.assertEqual(len(once["rows"]["case"]["at"]), len(twice["rows"]["case"]["at"]))

    def test_failures_alone(self):
        data = data_of(self.call(FAILURES))
        self.assertEqual(texts(data["rows"]["status"]), ["unsupported"])
        self.assertEqual(texts(data["rows"]["reason"]), ["the CPU devices compute in fp32 only, not in fp64"])

    def test_names_cannot_break_out(self):
        text = self.call(hostile(self.folder / "hostile"))
        document = valid(text)
        self.assertEqual(len(document.findall(".//script")), 3)
        self.assertEqual(document.findall(".//img"), [])
        data = data_of(text)
        self.assertEqual(texts(data["rows"]["device"]), [HOSTILE])
        self.assertIn(HOSTILE, texts(data["cases"]["case"])[0])
        self.assertTrue(any(HOSTILE in value for _, value in data["runs"][0]["environment"]))

    def test_baseline(self):
        text = self.call(OTHER, "--baseline", OTHER)
        (comparison,) = data_of(text)["comparisons"]
        self.assertEqual(comparison["counts"], {"cannot tell": 6})
        self.assertIn("Gradient norms: 2 of 2", comparison["notes"][0])
        self.assertIn("nothing can be told: 6 cannot tell.", [one["text"] for one in data_of(text)["summary"]])

        def elsewhere(_, row):
            row.update({name: "other" for name in ("hardware_id",) if name in row})
        base = changed(OTHER, self.folder / "base", elsewhere)
        (comparison,) = data_of(self.call(OTHER, "--baseline", base))["comparisons"]
        self.assertEqual((comparison["counts"], len(comparison["notes"])), ({}, 1))
        told = [one["text"] for one in data_of(self.call(OTHER, base, "--baseline", base))["summary"]]
        self.assertIn("for 1 of 2 folders.", told)

    def test_a_case_that_the_baseline_has_not(self):
        def fewer(_, row):
            row["case"] = row["case"].replace("seed1", "seed2") if "sigmoid" in row["case"] else row["case"]
        (comparison,) = data_of(self.call(OTHER, "--baseline", changed(OTHER, self.folder / "base", fewer)))["comparisons"]
        self.assertEqual(comparison["counts"], {"cannot tell": 3, "missing": 3, "new": 3})

    def test_a_name_that_says_no_size(self):
        def nameless(_, row):
            row["case"] = "nothing"
        self.call(changed(OTHER, self.folder / "nameless", nameless, ("decay.csv",)))

    def test_a_baseline_without_times(self):
        def untimed(name, row):
            row.update(time_s="") if name == "results.csv" else None
        alone = changed(OTHER, self.folder / "gradients", untimed)
        told = [one["text"] for one in data_of(self.call(alone, "--baseline", alone))["summary"]]
        self.assertIn("no regression: Gradient norms: 2 of 2 curves within tolerance.", told)

    def test_runs_of_one_folder_are_named_by_their_machines(self):
        def other(_, row):
            row["run_id"] = "second"
        merged = changed(OTHER, self.folder / "merged", lambda *_: None)
        for name in ("results.csv", "gradients.csv", "decay.csv"):
            more = (changed(OTHER, self.folder / name, other) / name).read_text().partition("\n")[2]
            with open(merged / name, "a", encoding="utf-8") as file:
                file.write(more)
        names = [run["name"] for run in data_of(self.call(merged))["runs"]]
        self.assertEqual(names, ["merged, Another processor", "merged"])

    def test_medians(self):
        def times(name, row):
            if name == "results.csv" and row["pass"] == "train":
                row["time_s"], row["disturbed"] = ("1", "0") if row["repetition"] == "0" else ("9", "1")
        data = data_of(self.call(changed(OTHER, self.folder / "times", times)))
        self.assertEqual(data["rows"]["train_time"]["all"], 1)  # the disturbed repetition does not count


class Unusable(Folder):
    def refused(self, what, *folders):
        line = self.call(*folders, code=2)
        self.assertEqual(line.count("\n"), 1, line)
        self.assertIn(what, line)

    def broken(self, name, change):
        folder = self.folder / f"broken{len(list(self.folder.iterdir()))}"
        shutil.copytree(OTHER, folder)
        (folder / name).write_bytes(change((folder / name).read_bytes()))
        return folder

    def test_folders(self):
        self.refused("nowhere", self.folder / "nowhere")
        (self.folder / "empty").mkdir()
        self.refused("no results.csv", self.folder / "empty")
        self.refused("no rows", self.broken("results.csv", lambda text: text[:text.index(b"\n") + 1]))

    def test_files(self):
        for name in ("results.csv", "gradients.csv", "decay.csv"):
            self.refused("line 1, column 1", self.broken(name, lambda _: b""))
            self.refused("line 3, column 5: a NUL byte", self.broken(name, lambda text: nul(text, 3, 5)))
            self.refused(f"{name}: line 2", self.broken(name, lambda text: text.replace(b"\n1,", b"\n1,more,", 1)))
            self.refused("schema_version 7, expected 1", self.broken(name, lambda text: text.replace(b"\n1,", b"\n7,", 1)))
        self.refused("env.json: line 3, column", self.broken("env.json", lambda text: text.replace(b",\n", b"\n", 2)))
        self.refused("time_s: 'soon' is not a number", changed(OTHER, self.folder / "soon", lambda name, row: row.update(
            time_s="soon") if name == "results.csv" else None))
        self.refused("no column peak_gflop_per_s", self.broken("results.csv", lambda text: text.replace(b"peak_gflop_per_s", b"x")))

    def test_a_torn_last_line_is_dropped(self):
        torn = self.broken("gradients.csv", lambda text: text + b"1,2026")
        self.assertEqual(data_of(self.call(torn))["points"], data_of(self.call(OTHER))["points"])

    def test_output(self):
        line = self.call(OTHER, code=4, output=self.folder / "no" / "folder.html")
        self.assertEqual(line.count("\n"), 1)


def nul(text, line, column):
    lines = text.split(b"\n")
    lines[line - 1] = lines[line - 1][:column - 1] + b"\0" + lines[line - 1][column:]
    return b"\n".join(lines)


class Packages(Folder):
    def test_missing_ones(self):
        """Another Python is tried, that of .venv; without it a line says what to do."""
        scripts = shutil.copytree(ROOT / "scripts", self.folder / "scripts")
        for name in ("report", "compare", "ratios", "merge"):
            command = [sys.executable, "-S", scripts / f"{name}.py", "folder"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertIn(f"{name}.py: no Python package numpy", done.stderr)
        python = self.folder / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\necho \"$@\"\n")
        python.chmod(0o755)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout, f"{scripts / 'merge.py'} folder\n")


class Thinning(unittest.TestCase):
    def test_keeps_the_shape(self):
        x = numpy.arange(1024.0)
        y = -0.1 * x
        y[700] = 50
        taken = curves.thin(x, y, 40)
        self.assertEqual((len(taken), taken[0], taken[-1]), (40, 0, 1023))
        self.assertIn(700, taken)
        self.assertTrue((numpy.diff(taken) > 0).all())

    def test_what_is_not_finite(self):
        y = numpy.where(numpy.arange(100) > 50, -numpy.inf, 0.0)
        self.assertEqual(len(curves.thin(numpy.arange(100.0), y, 10)), 10)
        self.assertEqual(len(curves.thin(numpy.arange(100.0), y * numpy.nan, 10)), 10)

    def test_keeps_the_last_norm_that_was_held(self):
        held = numpy.where(numpy.arange(200) > 133, -numpy.inf, 0.0)
        frame = pandas.DataFrame({"curve": 0, "x": numpy.arange(200), "log10_norm_exact": -numpy.arange(200.0),
                                  "log10_norm": held, "predicted_log10_norm": numpy.nan})
        self.assertIn(133, curves.thinned(frame, 12).x.tolist())


class Summary(unittest.TestCase):
    def fastest(self, *ran):
        """The first sentence on speed of (device, threads, seconds)."""
        rows = pandas.DataFrame([{"case": "lstm", "device": device, "plain_device": device.partition(" ")[0],
                                  "threads": threads, "bind": "core" if device < "cu" else "none", "denormals": "keep",
                                  "train_time": time, "train_peak": 50, "peak_gflop": 1} for device, threads, time in ran])
        return next(summary.speed(rows, None))

    def test_a_gpu_stands_beside_every_number_of_threads(self):
        for threads, words in (((2,), "in 1 of 1 case "), ((1, 2), "in 2 of 2 cases ")):
            said = self.fastest(("cuda:0", 1, 1), *(("cpu.avx512", n, 8) for n in threads))
            self.assertEqual(said["lead"], "cuda:0")
            self.assertIn(words, said["text"])
            self.assertIn("8.00 × cpu.avx512", said["text"])

    def test_processors_are_compared_on_as_many_threads(self):
        said = self.fastest(("cpu.avx512", 1, 4), ("cpu.avx512", 2, 2), ("cpu.onednn", 1, 8))
        self.assertIn("in 1 of 1 case that several devices ran: 2.00 × cpu.onednn", said["text"])


class Payload(unittest.TestCase):
    def test_numbers(self):
        for value, wanted in ((1.0, 1), (1 / 3, 0.333333), (-numpy.inf, "-inf"), (numpy.nan, None), (1e300, 1e300)):
            self.assertEqual(payload.number(value), wanted)

    def test_text_stays_inside(self):
        text = payload.dump({"a": HOSTILE + "\u2028"})
        self.assertIsNone(re.search("[<>&\u2028]", text))
        self.assertEqual(json.loads(text), {"a": HOSTILE + "\u2028"})


class Size(unittest.TestCase):
    def test_ten_thousand_cases(self):
        """10,000 curves, of which 500 have 1,024 steps, stay under 6 MB; none is left out."""
        start = time.monotonic()
        names = [f"rnn-tanh/d1/w{1 + i}/b32/t{1024 if i < 500 else 30}/fp32/uniform/seed1" for i in range(10_000)]
        steps = numpy.where(numpy.arange(10_000) < 500, 1025, 31)
        at = numpy.repeat(numpy.arange(10_000), steps)
        step = numpy.concatenate([numpy.arange(count) for count in steps])
        exact = -0.3 * (steps[at] - step) + numpy.sin(step)
        gradients = pandas.DataFrame({"run": 0, "case": numpy.array(names, dtype=object)[at], "device": "cpu",
                                      "plain_device": "cpu", "denormals": "keep", "tensor": "dh", "layer": 1.0, "step": step.astype(float),
                                      "log10_norm_exact": exact, "log10_norm": numpy.where(exact < -44.9, -numpy.inf, exact),
                                      "predicted_log10_norm": exact * 1.01})
        row = {"run": 0, "device": "cpu", "plain_device": "cpu", "device_name": "A processor", "threads": 2, "bind": "core",
               "denormals": "keep", "status": "ok", "reason": "", "verified": "full", "implementation": "vgbench",
               "algorithm": "", "disturbed": 0, "repetition": 0, "peak_gflop_per_s": 230.0, "peak_gb_per_s": 20.0}
        results = pandas.DataFrame({"case": names, **row, "pass": "train", "time_s": 1 / 3e3 + numpy.arange(10_000) / 7e5})
        for name in ("memory_bytes", "flop", "bytes", "items_per_s", "percent_of_peak", "percent_of_floor"):
            results[name] = 1234567.0 + numpy.arange(10_000)
        decay = pandas.DataFrame({"run": 0, "case": names, "device": "cpu", "plain_device": "cpu", "denormals": "keep",
                                  "direction": "time", "layer": 1.0, "verdict": "vanishing"} | {
                                      name: numpy.arange(10_000) / 7 for name in page.ASKED["decay"] if name != "verdict"})
        run_ = {"name": "big", "run_id": "r", "time": "2026-01-01T00:00:00Z", "hardware_id": "h", "build_id": "b",
                "facts": [], "environment": [], "roofs": {}}
        frames = {"results": results, "gradients": gradients, "decay": decay}
        with unittest.mock.patch.object(page, "read", lambda _: (frames, [run_])):
            text = page.build(["big"])
        data = data_of(text)
        print(f"{len(text.encode()) / 1e6:.2f} MB, {len(data['points']['x'])} points, {time.monotonic() - start:.1f} s")
        self.assertLess(len(text.encode()), 6_000_000)
        self.assertEqual(len(data["points"]["start"]), 10_001)
        self.assertGreaterEqual(min(numpy.diff(data["points"]["start"])), curves.FEWEST)
        self.assertEqual(data["notes"], [])


class Colours(unittest.TestCase):
    def test_contrast(self):
        """Text reaches 4.5 to 1 and a mark 3 to 1 (WCAG 2), in the light and in the dark."""
        css = (pathlib.Path(page.__file__).parent / "page.css").read_text()
        pairs = dict(re.findall(r"--(\w+): light-dark\(([^)]*)\)", css))
        for side in (0, 1):
            colour = {name: luminance(pair.split(", ")[side]) for name, pair in pairs.items()}
            grounds = ["paper", "panel"]
            wanted = [(name, ground, 4.5) for name in ("ink", "soft", "accent", "bad") for ground in grounds]
            wanted += [("ink", name, 4.5) for name in ("stable", "vanishing", "exploding", "dead", "overflow")]
            wanted += [(f"c{i}", "paper", 3) for i in range(12)]
            for front, back, least in wanted:
                a, b = sorted((colour[front], colour[back]))
                self.assertGreaterEqual((b + 0.05) / (a + 0.05), least, (front, back, side))


def luminance(colour):
    """Relative luminance of #rrggbb (WCAG 2)."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


class Names(unittest.TestCase):
    def test_parts(self):
        one = tables.case_parts("rnn-relu+sigmoid/d2/w8/i4/o2/b4/t12/bf16/identity:0.5/clip1/at-all/seed3")
        self.assertEqual((one["kind"], one["model"], one["depth"], one["input"], one["output"], one["seq_len"], one["dtype"],
                          one["init"], one["extra"]), ("rnn-relu+sigmoid", "rnn", 2, 4, 2, 12, "bf16", "identity:0.5", "clip1 at-all seed3"))
        self.assertEqual(tables.case_parts("stack-relu/d2/w8/b4/fp32/he/seed1")["plain"], 1)
        self.assertEqual(tables.case_parts("not a case")["kind"], "not a case")


if __name__ == "__main__":
    unittest.main()
