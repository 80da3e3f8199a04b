#!/usr/bin/env python3
"""Holds every device to the gradients in results/golden, or renews those.

  scripts/golden.py [--program=build/bench] [--device=NAMES] [--only=REGEX] [--golden=FILE]
  scripts/golden.py --write [--program=build/bench] [--golden=FILE]

Runs the preset `golden` on the devices that are here and compares the norm of every tensor, layer and
step (as held, and as the exact reading has it) and the mean |f'| with the file: those of `ref`, which is
plain loops in double, within 1e-9; every other device's within the tolerance of norms of whole nets. A
vendor's library hands out no such norms and is not compared. --write has `ref` run alone and writes the
file anew; a change of it is a change of results, and a commit of its own.
Exit 0; 1 where a norm differs, a row is missing or too many, or a case failed; 2 bad usage.
"""
import argparse
import csv
import math
import pathlib
import re
import subprocess
import sys
import tempfile

import vgtolerance

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRESET = ROOT / "bench/presets/golden.txt"
KEY = ("case", "tensor", "layer", "step")
VALUES = ("norm", "log10_norm_exact", "mean_abs_derivative")
REF = "ref"
REF_TOLERANCE = 1e-9  # what another compiler's and another library's last bits may grow to
SHOWN = 10  # differences of a device


class Problem(Exception):
    """What ends the comparison: a run that failed, a file that cannot be read."""


def read_rows(path):
    """The rows of a CSV file; every line as long as the first, the last one closed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: {error}") from error
    if not text.endswith("\n"):
        raise Problem(f"{path}: the last line is cut off")
    lines = csv.reader(text.splitlines(), strict=True)
    header = next(lines)
    rows = []
    for fields in lines:
        if len(fields) != len(header):
            raise Problem(f"{path}: line {lines.line_num}: {len(fields)} fields, expected {len(header)}")
        rows.append(dict(zip(header, fields)))
    return rows


def by_key(path, rows):
    """The values of each (case, tensor, layer, step), None where a field is empty."""
    table = {}
    for number, row in enumerate(rows, 2):
        try:
            key = tuple(row[name] for name in KEY)
            values = tuple(float(row[name]) if row[name] else None for name in VALUES)
        except KeyError as error:
            raise Problem(f"{path}: no column {error.args[0]}") from error
        except ValueError as error:
            raise Problem(f"{path}: line {number}: {error}") from error
        if key in table:
            raise Problem(f"{path}: line {number}: a second row of {place(key)}")
        table[key] = values
    return table


def place(key):
    case, tensor, layer, step = key
    return f"{case}: {tensor} of layer {layer}" + (f", step {step}" if step else "")


def preset_of(only):
    """The preset's lines without those cases that the regular expression is not found in."""
    lines = PRESET.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("--case=") or only.search(line.strip()))


def run(program, devices, only):
    """The gradients of each device of ours, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        out, preset = pathlib.Path(folder) / "out", pathlib.Path(folder) / "golden.txt"
        preset.write_text(preset_of(only), encoding="utf-8")
        command = [str(program), f"--preset={preset}", f"--device={devices}", f"--out={out}", "--quiet"]
        try:
            done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise Problem(f"{program}: {error.strerror}") from error
        if done.returncode == 2 or not (out / "results.csv").exists():
            raise Problem(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.rstrip()}")
        ours = {}
        for row in read_rows(out / "results.csv"):
            if row["implementation"] and not row["implementation"].startswith("vgbench"):
                continue
            if row["status"] not in ("ok", "unsupported"):
                raise Problem(f"{row['device']}: {row['case']}: {row['status']}: {row['reason']}")
            ours.setdefault(row["device"], [])
        path = out / "gradients.csv"
        for row in read_rows(path):
            if row["device"] in ours:
                ours[row["device"]].append(row)
        if not ours:
            raise Problem(f"--device={devices}: none of these devices is here, or all are libraries'")
        return {device: by_key(path, rows) for device, rows in ours.items()}


def tolerances(golden):
    """|ln| of the ratio by which a device in fp32 may be off over the whole way, case by case: all layers and
    steps are passed, and the least mean |f'| of the file is the census."""
    slopes = {}
    for (case, *_), values in golden.items():
        slopes[case] = min(slopes.get(case, 1), values[2] or 1)
    found = {}
    for case, slope in slopes.items():
        size = {letter: int(number) for letter, number in re.findall(r"/([dwit])(\d+)(?=/)", case)}
        steps = size.get("t", 1)
        terms = max(size["w"], size.get("i", 0)) * steps * size["d"]
        passed = size["d"] + 1 + (steps if "t" in size else 0)
        found[case] = vgtolerance.norm("fp32", vgtolerance.is_kinked(case), terms, passed, slope)
    return found


def distance(name, value, expected):
    """|ln| of the ratio; NaN, which no tolerance admits, where only one is there or one is no number."""
    if value is None or expected is None:
        return 0 if value is expected else math.nan
    if value == expected:
        return 0
    if name.startswith("log10"):
        return math.log(10) * abs(value - expected)
    return abs(math.log(value / expected)) if value > 0 and expected > 0 else math.nan


def differences(device, found, golden):
    """A line for each row that is missing, too many or off."""
    allowed = tolerances(golden)
    for key, expected in golden.items():
        if key not in found:
            yield f"{device}: {place(key)}: missing"
            continue
        tolerance = REF_TOLERANCE if device == REF else allowed[key[0]]
        for name, value, wanted in zip(VALUES, found[key], expected):
            off = distance(name, value, wanted)
            if not off <= tolerance:
                yield (f"{device}: {place(key)}: {name} is {value}, golden {wanted}: off by {off:.3g} in ln, "
                       f"allowed {tolerance:.3g}")
    for key in found:
        if key not in golden:
            yield f"{device}: {place(key)}: not in the golden file"


def check(program, devices, only, path):
    golden = {key: values for key, values in by_key(path, read_rows(path)).items() if only.search(key[0])}
    if not golden:
        raise Problem(f"{path}: no rows")
    wrong = 0
    for device, found in run(program, devices, only).items():
        lines = list(differences(device, found, golden))
        wrong += len(lines)
        for line in lines[:SHOWN]:
            print(line)
        if len(lines) > SHOWN:
            print(f"{device}: and {len(lines) - SHOWN} more")
        if not lines:
            print(f"{device}: all {len(golden)} rows as in {path.name}")
    if wrong:
        print("The gradients have changed. Where that is meant: scripts/golden.py --write, in a commit of its own.")
    return 1 if wrong else 0


def write(program, path):
    found = run(program, REF, re.compile(""))[REF]
    for key, values in found.items():
        if not all(value is None or math.isfinite(value) or (value < 0 and values[0] == 0) for value in values):
            raise Problem(f"{place(key)}: {values} cannot be compared with anything")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(KEY + VALUES)
        lines.writerows(key + tuple("" if v is None else f"{v:.14g}" for v in values)
                        for key, values in found.items())
    print(f"{path}: {len(found)} rows")
    return 0


def pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def main(arguments):
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--program", type=pathlib.Path, default=ROOT / "build/bench", metavar="FILE")
    options.add_argument("--device", default="ref,cpu.*,cuda*", metavar="NAMES",
                         help="as bench's own --device [%(default)s]")
    options.add_argument("--golden", type=pathlib.Path, default=ROOT / "results/golden/gradients.csv",
                         metavar="FILE")
    options.add_argument("--only", type=pattern, default="", metavar="REGEX",
                         help="cases in whose name this is found")
    options.add_argument("--write", action="store_true", help="renew the file from ref's gradients")
    chosen = options.parse_args(arguments)
    if chosen.write and chosen.only.pattern:
        options.error("--write renews the whole file: there is no --only beside it")
    try:
        if chosen.write:
            return write(chosen.program.resolve(), chosen.golden)
        return check(chosen.program.resolve(), chosen.device, chosen.only, chosen.golden)
    except Problem as problem:
        print(problem)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
