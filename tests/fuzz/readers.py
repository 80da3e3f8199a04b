#!/usr/bin/env python3
"""Mutations of a result folder, the same every time: the reader reads it or refuses it with one line, and so
do scripts/compare.py, in every format, and the report's page.
Usage: readers.py [SECONDS of the processor's time, default 12]. Exits 77 where its packages are not here."""
import contextlib
import csv
import io
import json
import pathlib
import random
import sys
import tempfile
import time
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import made_results as made
import vgresults

try:
    import compare
    from report_page import curves, page, payload
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

INTERESTING = ["", "\n", "\r\n", ",", '"', '""', "\0", "\xff", "nan", "inf", "-1", "1e999", "{", "}", "[", "null", "\\u0000",
               "9" * 400, "=cmd()", "é"]
FIELDS = ["", "nan", "inf", "-inf", "-1", "0", "1", "0.5", "1e308", "-1e308", "5e-324", "1e18", "no case", "stack-/d/w", "é",
          "lstm/d999999999999999999999", "ok", "mismatch", "dead", "time", "depth"]
FACTS = [None, True, -1, 0.5, "", "nan", "inf", "x", [], {}, [{}], [[]], {"name": "x"}, {"name": None}]
SOURCE = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "report" / "other"


def mutated(data, random_of):
    """Up to four bytes of it changed, put in, taken out, or doubled."""
    data = bytearray(data)
    for _ in range(random_of.randint(1, 4)):
        at, length = random_of.randrange(len(data) + 1), random_of.choice((1, 1, 2, 8, 64))
        part = random_of.choice(INTERESTING).encode("latin-1", "replace")
        data[at:at + random_of.choice((0, length))] = random_of.choice((part, bytes(data[at:at + length])))
    return bytes(data)


def mutated_table(data, random_of):
    """A field, or a whole column, of something else."""
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    column, value = random_of.randrange(len(rows[0])), random_of.choice(FIELDS)
    for row in random_of.choice((rows[1:], [random_of.choice(rows[1:])])):
        row[column] = value
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def mutated_facts(data, random_of):
    """A value of env.json, at any depth, that is something else."""
    root = inner = json.loads(data)
    while True:
        key = random_of.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not inner[key] or not isinstance(inner[key], (dict, list)) or random_of.random() < 0.3:
            break
        inner = inner[key]
    inner[key] = random_of.choice(FACTS)
    return json.dumps(root).encode()


def told(error, folder):
    text = str(error)
    assert len(text.splitlines()) == 1 and str(folder) in text, repr(text)


def compared(base, new):
    """Every format of a comparison, within one machine or across two; the exit code is a documented one."""
    for crossed in ([], ["--cross"]):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
            code = compare.main([str(base), str(new), *crossed,
                                 *(f"--write={form}:{new / 'out'}" for form in compare.FORMATS)])
        (new / "out").unlink(missing_ok=True)
        assert code in (0, 1, 2, 3) and errors.getvalue().count("\n") == (code > 1), (code, errors.getvalue())


def shown(base, folder):
    """All that goes into a page; what it is embedded in has no part in this."""
    try:
        data, frame, heads, _ = page.content([folder], base)
    except (page.Unusable, vgresults.Malformed) as error:
        return told(error, folder)
    payload.dump({**data, "points": page.points(frame, heads, curves.MOST)})


def main(seconds):
    random_of, count, refused = random.Random(1), 0, 0
    warnings.simplefilter("ignore")  # of numbers out of all measure
    with tempfile.TemporaryDirectory(prefix="vg_fuzz_") as top:
        folder = pathlib.Path(top) / "run"
        folder.mkdir()
        good = {folder / path.name: path.read_bytes() for path in sorted(SOURCE.iterdir())}
        for path, data in good.items():
            path.write_bytes(data)
        end = time.process_time() + seconds
        while time.process_time() < end:
            path = random_of.choice(list(good))
            formed = mutated_facts if path.suffix == ".json" else mutated_table
            path.write_bytes(random_of.choice((mutated, formed, formed))(good[path], random_of))
            try:
                vgresults.read(folder)
                compared(SOURCE, folder)
                shown(SOURCE, folder)
            except vgresults.Malformed as error:
                refused += 1
                told(error, folder)
            except Exception:
                print(f"{path.name}: {json.dumps(path.read_bytes().decode('latin-1'))}", file=sys.stderr)
                raise
            path.write_bytes(good[path])
            count += 1
    print(f"{count} mutations, {refused} refused")
    return 0 if 0 < refused < count else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 12))
